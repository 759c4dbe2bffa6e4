"""One optimizer step of a language model, and the state that it changes.

The step is put together from a door's graded functions (batch, loss, clipping, schedule, optimizer), so whoever stands
behind the door, the reference or a learner, trains with their own parts.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from shared.device import autocast
from shared.doors.protocols import Attend, BasicsDoor, TrainJob
from shared.store.kinds.checkpoint import unshared

Batch = tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]


@dataclass
class TrainState:
    """Everything that a step changes: weights, optimizer state, the number of steps done and what else it remembers."""

    model: nn.Module
    optimizer: optim.Optimizer
    steps_done: int = 0
    memory: dict[str, float] = field(default_factory=dict)  # such as a loss scale; most steps need none

    def save(self, directory: Path) -> None:
        """Write the state into an empty directory."""
        save_file(unshared(self.model.state_dict()), directory / "model.safetensors")
        torch.save(self.optimizer.state_dict(), directory / "optimizer.pt")
        progress = {"steps_done": self.steps_done, "memory": self.memory}
        (directory / "state.json").write_text(json.dumps(progress), encoding="utf-8")

    def load(self, directory: Path) -> None:
        """Restore what `save` wrote, onto the devices that the model is on."""
        self.model.load_state_dict(load_file(directory / "model.safetensors"))
        moments = torch.load(directory / "optimizer.pt", map_location="cpu", weights_only=True)
        self.optimizer.load_state_dict(moments)
        progress = json.loads((directory / "state.json").read_text(encoding="utf-8"))
        self.steps_done, self.memory = progress["steps_done"], progress["memory"]


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, float]]]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay, vectors (norm gains, biases) do not: pulling a gain towards zero only shrinks its channel.

    Source: [gpt3-2020] appendix B decays weights; sparing one-dimensional ones is the field's custom since [nanogpt].
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {
            "params": [parameter for parameter in parameters if parameter.ndim >= 2],
            "weight_decay": weight_decay,
        },
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]


def gradient_norm(parameters: list[nn.Parameter]) -> Float[Tensor, ""]:
    """L2 norm of all gradients together."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def language_model_step(
    parts: BasicsDoor, job: TrainJob, attend: Attend | None, dtype: torch.dtype
) -> TrainStep:
    """The step `(state, batch) -> (state, metrics)` of this job, made of these parts.

    A batch that does not fit into memory is cut into `job.microbatches`, whose gradients add up to that of the whole.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, float]]:
        learning_rate = scheduled_rate(parts, job, state)
        state.optimizer.zero_grad(set_to_none=True)
        loss_nats = 0.0
        for inputs, targets in microbatches(batch, job.microbatches):
            with autocast(inputs.device, dtype):
                logits = state.model(inputs, attend=attend)
            loss = parts.run_cross_entropy(logits.flatten(0, -2).float(), targets.flatten())
            loss = loss / job.microbatches
            loss.backward()
            loss_nats += loss.item()
        return finish_step(parts, job, state, loss_nats, learning_rate)

    return step


def scheduled_rate(parts: BasicsDoor, job: TrainJob, state: TrainState) -> float:
    """Set the optimizer's learning rate to that of the schedule; returns it."""
    learning_rate = parts.run_get_lr_cosine_schedule(
        it=state.steps_done + 1,  # step 0 of the schedule has rate zero: it would teach nothing
        max_learning_rate=job.max_learning_rate,
        min_learning_rate=job.min_learning_rate,
        warmup_iters=job.warmup_steps,
        cosine_cycle_iters=job.steps,
    )
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    return learning_rate


def finish_step(
    parts: BasicsDoor, job: TrainJob, state: TrainState, loss_nats: float, learning_rate: float
) -> tuple[TrainState, dict[str, float]]:
    """Clip the gradients that stand on the parameters, let the optimizer move them, and count."""
    parameters = list(state.model.parameters())
    norm = gradient_norm(parameters)
    parts.run_gradient_clipping(parameters, job.clip_norm)
    state.optimizer.step()
    state.steps_done += 1
    return state, {"loss_nats": loss_nats, "learning_rate": learning_rate, "gradient_norm": norm.item()}


def microbatches(batch: Batch, count: int) -> Iterator[Batch]:
    """The batch in `count` pieces of equal size."""
    inputs, targets = batch
    yield from zip(inputs.chunk(count), targets.chunk(count), strict=True)
