"""The run of one language model: model, optimizer, batches, step and evaluation, handed to the one training loop.

`run.train_lm` runs one such job and publishes its weights; a sweep (`training.sweep`) runs many and publishes a table.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from numpy import ndarray
from torch import nn, optim

from a1_basics.training.evaluate import evaluate
from a1_basics.training.parts import fill_slots
from a1_basics.training.step import (
    Batch,
    TrainState,
    TrainStep,
    language_model_step,
    parameter_groups,
)
from shared import accounting
from shared.device import peak_flops_per_second, pick_device, pick_precision
from shared.doors.protocols import Attend, BasicsDoor, ModelConfig, TrainJob
from shared.runs import runner
from shared.runs.guard import Guard
from shared.runs.seeded import seeded
from shared.store.kinds import Shards

MakeStep = Callable[[BasicsDoor, TrainJob, Attend | None, torch.dtype], TrainStep]
MakeOptimizer = Callable[[nn.Module, TrainJob], optim.Optimizer]


def fresh_model(
    job: TrainJob, build: Callable[[ModelConfig], nn.Module], device: torch.device | None = None
) -> nn.Module:
    """A model with the initial weights of the job's seed, on the device; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        return build(job.model).to(device or pick_device(job.device))


def run_language_model(
    job: TrainJob,
    parts: BasicsDoor,
    model: nn.Module,
    shards: Shards,
    token_bytes: Int[ndarray, "vocab"],
    run_dir: Path,
    *,
    make_step: MakeStep = language_model_step,
    make_optimizer: MakeOptimizer | None = None,
    guard: Guard = runner.DEFAULT_GUARD,
    config: Mapping[str, Any] | None = None,
) -> runner.RunResult[TrainState]:
    """Train `model` to the end of the job, going on from the newest checkpoint in `run_dir`.

    `make_optimizer` None: the door's AdamW, matrices decayed.

    Raises:
        DivergenceError, Preempted: as in `shared.runs.runner`.
    """
    device = pick_device(job.device)
    dtype = pick_precision(job.precision, device)
    attend = fill_slots(parts, model, job.model)
    optimizer = make_optimizer(model, job) if make_optimizer else adamw(parts, model, job)
    train_tokens, val_tokens = shards.tokens("train"), shards.tokens("val")
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
            job.batch_size // job.microbatches,
            max_batches=job.evaluate_batches * job.microbatches,
            attend=attend,
        )
        state.model.train()
        return {runner.VALIDATION_LOSS: found.nats_per_token, "validation_bits_per_byte": found.bits_per_byte}

    tokens_per_step = job.batch_size * context_length
    return runner.run(
        run_dir=run_dir,
        state=TrainState(model, optimizer),
        step=make_step(parts, job, attend, dtype),
        batches=batch_of,
        num_steps=job.steps,
        every=runner.Cadence(
            log_steps=max(1, min(10, job.steps // 20)),
            evaluate_steps=job.evaluate_every_steps,
            checkpoint_steps=job.checkpoint_every_steps,
            keep=job.keep_checkpoints,
        ),
        evaluate=validation_loss,
        guard=guard,
        config=config,
        tokens_per_step=tokens_per_step,
        flops_per_step=tokens_per_step * accounting.training_flops_per_token(job.model, context_length),
        peak_flops_per_second=peak_flops_per_second(device, dtype),
        label=f"train {job.name}",
    )


def adamw(parts: BasicsDoor, model: nn.Module, job: TrainJob) -> optim.Optimizer:
    """The door's AdamW with the job's settings."""
    return parts.get_adamw_cls()(
        parameter_groups(model, job.weight_decay),
        lr=job.max_learning_rate,
        betas=(job.beta1, job.beta2),
        eps=job.adam_eps,
    )
