"""Training a language model on several ranks: stage 1's parts, spread by a strategy, in the one training loop.

Every rank draws the whole batch, of which the strategy gives it its share, so the text that a run reads does not depend
on the number of ranks. What is saved is whole, so neither does where it can go on.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from a2_systems.measure.memory import peak_of_step
from a2_systems.parallel.evaluation import evaluate_on_ranks
from shared import accounting
from shared.device import autocast, peak_flops_per_second, pick_device, pick_precision
from shared.doors.protocols import Attend, BasicsDoor, TrainJob
from shared.doors.systems import Spread
from shared.errors import ConfigError
from shared.runs import runner
from shared.runs.ranks import Ranks
from shared.runs.seeded import seeded
from shared.store.kinds import Shards
from shared.store.kinds.checkpoint import unshared

Batch = tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]


@dataclass
class SpreadState:
    """Everything that a step changes, saved whole by rank 0 with the help of the others."""

    spread: Spread
    steps_done: int = 0
    peak_bytes: int = 0  # of this process's second step, not saved; 0: there was none

    def save(self, directory: Path) -> None:
        """Write the state into an empty directory; the other ranks are in `help_save` meanwhile."""
        save_file(unshared(self.spread.weights()), directory / "model.safetensors")
        torch.save(self.spread.optimizer_state(), directory / "optimizer.pt")
        (directory / "state.json").write_text(json.dumps({"steps_done": self.steps_done}), encoding="utf-8")

    def help_save(self) -> None:
        """The same gathering, in the same order, and nothing written."""
        self.spread.weights()
        self.spread.optimizer_state()

    def load(self, directory: Path) -> None:
        """Restore what `save` wrote, on any number of ranks."""
        moments = torch.load(directory / "optimizer.pt", map_location="cpu", weights_only=True)
        self.spread.load(load_file(directory / "model.safetensors"), moments)
        self.steps_done = json.loads((directory / "state.json").read_text(encoding="utf-8"))["steps_done"]


def run_spread(
    job: TrainJob,
    parts: BasicsDoor,
    spread: Spread,
    ranks: Ranks,
    shards: Shards,
    token_bytes: Int[np.ndarray, "vocab"],
    run_dir: Path,
    config: Mapping[str, Any] | None = None,
    attend: Attend | None = None,
) -> runner.RunResult[SpreadState]:
    """Train to the end of the job, going on from the newest checkpoint in `run_dir`; called on every rank.

    `attend` None: the model's own attention.

    Raises:
        ConfigError: a batch that cannot be shared out evenly.
        DivergenceError, Preempted: as in `shared.runs.runner`.
    """
    multiple = spread.batch_multiple
    if job.batch_size % multiple:
        raise ConfigError(
            f"a batch of {job.batch_size} sequences cannot be shared out evenly: {ranks.num_ranks} ranks in "
            f"{job.microbatches} microbatches want a multiple of {multiple}; use --batch-size "
            f"{multiple * max(1, job.batch_size // multiple)}"
        )
    device = rank_device(job)
    dtype = pick_precision(job.precision, device)
    train_tokens, val_tokens = shards.tokens("train"), shards.tokens("val")
    context_length = job.model.context_length
    slots = {} if attend is None else {"attend": attend}
    calls = count()

    def batch_of(step: int) -> Batch:
        with seeded(job.seed, step):
            inputs, targets = parts.run_get_batch(train_tokens, job.batch_size, context_length, "cpu")
        return inputs.to(device), targets.to(device)

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        with autocast(device, dtype):
            return model(inputs, **slots)

    def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
        return parts.run_cross_entropy(logits.flatten(0, -2).float(), targets.flatten())

    def step(state: SpreadState, batch: Batch) -> tuple[SpreadState, dict[str, float]]:
        rate = parts.run_get_lr_cosine_schedule(
            state.steps_done + 1,  # step 0 of the schedule has rate zero: it would teach nothing
            job.max_learning_rate,
            job.min_learning_rate,
            job.warmup_steps,
            job.steps,
        )
        for group in spread.optimizer.param_groups:
            group["lr"] = rate
        spread.optimizer.zero_grad(set_to_none=True)
        # in the first step moments are made, and layers learn their order
        is_second = next(calls) == 1
        with peak_of_step(kept_tensors(spread), device) if is_second else nullcontext([0]) as peak:
            loss_nats = spread.forward_backward(*batch, forward, loss_of)
            norm = spread.clip(job.clip_norm)
            spread.optimizer.step()
        state.peak_bytes += sum(peak)
        state.steps_done += 1
        metrics = {
            "loss_nats": loss_nats.item(),
            "learning_rate": rate,
            "gradient_norm": norm,
        }
        exposed = spread.exposed_seconds
        return state, metrics | ({} if exposed is None else {"exposed_seconds": exposed})

    def validation_loss(state: SpreadState) -> Mapping[str, float]:
        spread.model.eval()
        # of each rank's own rows, or of all together where they read the same: the same text on any number of ranks
        readers = ranks if multiple == ranks.num_ranks * job.microbatches else Ranks()
        size = job.batch_size // multiple
        found = evaluate_on_ranks(
            lambda some: parts.evaluate_model(spread.model, some, token_bytes, context_length, size),
            val_tokens,
            context_length,
            size,
            job.evaluate_batches * multiple,
            readers,
        )
        spread.model.train()
        return {runner.VALIDATION_LOSS: found.nats_per_token, "validation_bits_per_byte": found.bits_per_byte}

    tokens_per_step = job.batch_size * context_length
    return runner.run(
        run_dir=run_dir,
        state=SpreadState(spread),
        step=step,
        batches=batch_of,
        num_steps=job.steps,
        every=runner.Cadence(
            log_steps=max(1, min(10, job.steps // 20)),
            evaluate_steps=job.evaluate_every_steps,
            checkpoint_steps=job.checkpoint_every_steps,
            keep=job.keep_checkpoints,
        ),
        evaluate=validation_loss,
        config=config,
        tokens_per_step=tokens_per_step,
        flops_per_step=tokens_per_step * accounting.training_flops_per_token(job.model, context_length),
        peak_flops_per_second=ranks.num_ranks * peak_flops_per_second(device, dtype),
        label=f"train {job.name}",
    )


def held_bytes(spread: Spread) -> Int[Tensor, "3"]:
    """What this rank keeps between steps, counted: bytes of parameters, of their gradients, of optimizer state."""
    parameters = list(spread.model.parameters())
    state = list(tensors_in(spread.optimizer.state_dict()))
    kinds = (parameters, [p for p in parameters if p.requires_grad], state)
    return torch.tensor([sum(t.numel() * t.element_size() for t in kind) for kind in kinds])


def kept_tensors(spread: Spread) -> list[Tensor]:
    """What this rank keeps between steps, but for gradients."""
    return [*spread.model.parameters(), *spread.model.buffers(), *tensors_in(spread.optimizer.state_dict())]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of nested dicts and lists: an optimizer may keep its state in whatever it likes."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(part)


def held_by_all(state: SpreadState, ranks: Ranks) -> Int[Tensor, "ranks 4"]:
    """The same of every rank, and the peak of a step; called on all."""
    mine = torch.cat([held_bytes(state.spread), torch.tensor([state.peak_bytes])])
    if ranks.num_ranks == 1:
        return mine[None]
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    everyone = [torch.empty_like(mine, device=device) for _ in range(ranks.num_ranks)]
    dist.all_gather(everyone, mine.to(device))
    return torch.stack(everyone).cpu()


def fresh_model(job: TrainJob, parts: BasicsDoor) -> nn.Module:
    """A model with the initial weights of the job's seed, the same on every rank."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        return parts.build_model(job.model).to(rank_device(job))


def adamw(job: TrainJob, parts: BasicsDoor, model: nn.Module) -> optim.Optimizer:
    """The door's AdamW with the job's settings; matrices decay, vectors do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": job.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return parts.get_adamw_cls()(
        groups, lr=job.max_learning_rate, betas=(job.beta1, job.beta2), eps=job.adam_eps
    )


def rank_device(job: TrainJob) -> torch.device:
    """This rank's device: on a machine with several GPUs the one that it took when it joined."""
    device = pick_device(job.device)
    return torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" else device
