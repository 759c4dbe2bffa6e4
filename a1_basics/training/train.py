"""Training a language model from Shards to a published Checkpoint: what `run.train_lm` does, behind the door."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch

from a1_basics.training.evaluate import evaluate
from a1_basics.training.parts import fill_slots
from a1_basics.training.step import Batch, TrainState, language_model_step, parameter_groups, seeded
from shared import accounting
from shared.device import peak_flops_per_second, pick_device, pick_precision
from shared.doors.protocols import TrainJob
from shared.doors.resolve import door, source_roots
from shared.errors import ConfigError
from shared.runs import runner
from shared.runs.runlog import comparable
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import (
    Shards,
    read_shards,
    read_tokenizer,
    write_checkpoint,
    write_run_log,
)


def train(job: TrainJob) -> str:
    """Train to the end of the job, resuming if it was begun before; the digest of the published Checkpoint.

    The run lives in `runs/<name>-<key>`; its key covers the job, the shards and the sources, so that a changed
    setting is another run and an unchanged one is found finished.

    Raises:
        ConfigError: the model's shape does not fit the shards.
        ArtifactError: shards missing or damaged.
        DivergenceError, Preempted: as in `shared.runs.runner`.
    """
    store = Store(job.store)
    source = store.open(job.shards, "Shards")
    job = dataclasses.replace(job, shards=source.digest)  # what was read, by whatever name it was called
    shards = read_shards(source)
    check_job(job, shards)
    key = step_key("a1_basics.train", job, {"shards": source.digest}, source_roots("a1_basics", job.impl))
    finished = already_made(store, key, job.name)
    if finished is not None:
        return finished.digest
    run_dir = job.runs / f"{job.name}-{key[:12]}"
    result = _run(job, shards, store, run_dir)
    return _publish(job, store, source, result, key)


def check_job(job: TrainJob, shards: Shards) -> None:
    """Refuse what can be seen to fail before the first step.

    Raises:
        ConfigError: another vocabulary than the shards', a context longer than a split, or a schedule out of order.
    """
    vocab_size, context_length = job.model.vocab_size, job.model.context_length
    if vocab_size < shards.vocab_size:
        raise ConfigError(
            f"the model knows {vocab_size} tokens and the shards '{job.shards[:12]}' hold ids below "
            f"{shards.vocab_size}; use --model.vocab-size {shards.vocab_size}"
        )
    for split in ("train", "val"):
        if shards.num_tokens(split) <= context_length:
            raise ConfigError(
                f"context_length={context_length} needs more than the {shards.num_tokens(split):,} tokens of split "
                f"'{split}' in shards '{job.shards[:12]}'; use a longer corpus or --model.context-length "
                f"{max(shards.num_tokens(split) // 2, 1)}"
            )
    if not 0 <= job.warmup_steps <= job.steps:
        raise ConfigError(f"warmup_steps={job.warmup_steps} must lie between 0 and steps={job.steps}")
    if job.batch_size < 1 or job.steps < 1:
        raise ConfigError(f"batch_size={job.batch_size} and steps={job.steps} must be at least 1")


def _run(job: TrainJob, shards: Shards, store: Store, run_dir: Path) -> runner.RunResult[TrainState]:
    parts = door("a1_basics", job.impl)
    device = pick_device(job.device)
    dtype = pick_precision(job.precision, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        model = parts.build_model(job.model).to(device)
    attend = fill_slots(parts, model, job.model)
    optimizer = parts.get_adamw_cls()(
        parameter_groups(model, job.weight_decay),
        lr=job.max_learning_rate,
        betas=(job.beta1, job.beta2),
        eps=job.adam_eps,
    )
    train_tokens, val_tokens = shards.tokens("train"), shards.tokens("val")
    tokenizer = store.open(shards.artifact.parents["tokenizer"], "Tokenizer")
    token_bytes = read_tokenizer(tokenizer).token_bytes()
    context_length = job.model.context_length

    def batch_of(step: int) -> Batch:
        with seeded(job.seed, step):
            return parts.run_get_batch(train_tokens, job.batch_size, context_length, str(device))

    def validation_loss(state: TrainState) -> Mapping[str, float]:
        state.model.eval()
        found = evaluate(
            state.model,
            val_tokens,
            token_bytes,
            context_length,
            job.batch_size,
            max_batches=job.evaluate_batches,
        )
        state.model.train()
        return {runner.VALIDATION_LOSS: found.nats_per_token, "validation_bits_per_byte": found.bits_per_byte}

    tokens_per_step = job.batch_size * context_length
    return runner.run(
        run_dir=run_dir,
        state=TrainState(model, optimizer),
        step=language_model_step(parts, job, attend=attend, dtype=dtype),
        batches=batch_of,
        num_steps=job.steps,
        every=runner.Cadence(
            log_steps=max(1, min(10, job.steps // 20)),
            evaluate_steps=job.evaluate_every_steps,
            checkpoint_steps=job.checkpoint_every_steps,
            keep=job.keep_checkpoints,
        ),
        evaluate=validation_loss,
        config=recorded(job),
        tokens_per_step=tokens_per_step,
        flops_per_step=tokens_per_step * accounting.training_flops_per_token(job.model, context_length),
        peak_flops_per_second=peak_flops_per_second(device, dtype),
        label=f"train {job.name}",
    )


def _publish(
    job: TrainJob, store: Store, shards: Artifact, result: runner.RunResult[TrainState], key: str
) -> str:
    parents = {"shards": shards.digest, "tokenizer": shards.parents["tokenizer"]}
    training = {"steps": result.step, "metrics": comparable([result.metrics])[0]}
    num_tokens = job.steps * job.batch_size * job.model.context_length
    flops = num_tokens * accounting.training_flops_per_token(job.model, job.model.context_length)
    with store.draft("Checkpoint", config=recorded(job), parents=parents, name=job.name, key=key) as draft:
        write_checkpoint(draft, job.model, result.state.model.state_dict(), training)
        draft.cost_seconds, draft.cost_flops = result.train_seconds, flops
    checkpoint = draft.artifact
    with store.draft(
        "RunLog", config=recorded(job), parents={"checkpoint": checkpoint.digest}, name=job.name
    ) as draft:
        write_run_log(draft, result.log, recorded(job))
        draft.cost_seconds = result.train_seconds
    return checkpoint.digest
