"""Training a language model from Shards to a published Checkpoint: what `run.train_lm` does, behind the door."""

import dataclasses

from torch import nn

from a1_basics.training.checks import check_job
from a1_basics.training.loop import fresh_model, run_language_model
from a1_basics.training.step import TrainState
from shared import accounting
from shared.doors.protocols import ModelConfig, TrainJob
from shared.doors.resolve import door, source_roots
from shared.errors import ConfigError
from shared.runs import runner
from shared.runs.config import differences, to_dict
from shared.runs.runlog import comparable
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import (
    read_checkpoint,
    read_shards,
    read_tokenizer,
    require_same_tokenizer,
    write_checkpoint,
    write_run_log,
)


def train(job: TrainJob) -> str:
    """Train to the end of the job, resuming if it was begun before; the digest of the published Checkpoint.

    The run lives in `runs/<name>-<key>`; its key covers the job, the shards and the sources, so that a changed
    setting is another run and an unchanged one is found finished.

    Raises:
        ConfigError: the model's shape does not fit the shards, or not the checkpoint that it starts from.
        ArtifactError: shards missing or damaged, or a first checkpoint that was made with another tokenizer.
        DivergenceError, Preempted: as in `shared.runs.runner`.
    """
    store = Store(job.store)
    source = store.open(job.shards, "Shards")
    initial = store.open(job.init, "Checkpoint") if job.init else None
    # what was read, by whatever name it was called
    job = dataclasses.replace(job, shards=source.digest, init=initial.digest if initial else "")
    shards = read_shards(source)
    check_job(job, shards)
    inputs = {"shards": source.digest} | ({"init": initial.digest} if initial else {})
    sources = source_roots("a1_basics", job.impl)
    key, log_key = (step_key(f"a1_basics.train{part}", job, inputs, sources) for part in ("", ":log"))
    finished = already_made(store, key, job.name)
    if finished is not None:
        log = store.find_key(log_key)
        if log is not None:
            store.give_name(log, job.name)
        return finished.digest
    tokenizer = store.open(source.parents["tokenizer"], "Tokenizer")
    parts = door("a1_basics", job.impl)
    model = fresh_model(job, parts.build_model)
    if initial is not None:
        require_same_tokenizer(initial, source)
        start_from(model, job.model, initial)
    result = run_language_model(
        job,
        parts,
        model,
        shards,
        read_tokenizer(tokenizer).token_bytes(),
        job.runs / f"{job.name}-{key[:12]}",
        config=recorded(job),
    )
    return _publish(job, store, inputs | {"tokenizer": tokenizer.digest}, result, key, log_key)


def start_from(model: nn.Module, config: ModelConfig, initial: Artifact) -> None:
    """Load the weights of a checkpoint into a model of the same shape.

    Raises:
        ConfigError: it has another shape; the message names each difference and the flag that mends it.
    """
    found, weights = read_checkpoint(initial)
    if not isinstance(found, ModelConfig):
        raise ConfigError(f"{initial} is a GPT-2 (`ClassicConfig`), which train_lm does not train")
    changed = differences(to_dict(found), to_dict(config))
    if changed:
        flags = " ".join(f"--model.{name.replace('_', '-')} {value}" for name, (value, _) in changed.items())
        words = ", ".join(f"{name}: {wanted} there, {here} here" for name, (wanted, here) in changed.items())
        raise ConfigError(f"{initial} is a model of another shape ({words}); take its preset, or add {flags}")
    model.load_state_dict(weights)


def _publish(
    job: TrainJob,
    store: Store,
    parents: dict[str, str],
    result: runner.RunResult[TrainState],
    key: str,
    log_key: str,
) -> str:
    """Checkpoint, then log, and the step's key last: killed in between, the same command publishes both again."""
    training = {"steps": result.step, "metrics": comparable([result.metrics])[0]}
    with store.draft("Checkpoint", config=recorded(job), parents=parents) as draft:
        write_checkpoint(draft, job.model, result.state.model.state_dict(), training)
        draft.cost_seconds, draft.cost_flops = result.train_seconds, accounting.training_flops(job)
    checkpoint = draft.artifact
    parents = {"checkpoint": checkpoint.digest}
    with store.draft("RunLog", config=recorded(job), parents=parents, name=job.name, key=log_key) as draft:
        write_run_log(draft, result.log, recorded(job))
        draft.cost_seconds = result.train_seconds
    store.give_name(checkpoint, job.name)
    store.give_key(checkpoint, key)
    return checkpoint.digest
