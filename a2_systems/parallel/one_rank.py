"""A training step as one rank does it, in pieces that strategies override: what each of them changes is all it says."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn, optim
from torch.nn.utils import clip_grad_norm_

from shared.doors.systems import Forward, LossOf, Spread
from shared.runs.ranks import current


class OnOneRank(Spread):
    """Nothing is spread: model and optimizer as they are, a batch in equal pieces whose gradients add up."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        microbatches: int = 1,
        *,
        is_shared_out: bool = False,
    ) -> None:
        self.model, self.optimizer, self.microbatches = model, optimizer, microbatches
        ranks = current()
        self.num_readers = (
            ranks.num_ranks if is_shared_out else 1
        )  # between whom a batch is shared out by rows
        self.reader = ranks.rank if is_shared_out else 0

    @property
    def batch_multiple(self) -> int:
        return self.num_readers * self.microbatches

    def forward_backward(
        self,
        inputs: Int[Tensor, "batch seq"],
        targets: Int[Tensor, "batch seq"],
        forward: Forward,
        loss_of: LossOf,
    ) -> Float[Tensor, ""]:
        mine = slice(self.reader, None, self.num_readers)
        pieces = [part[mine].chunk(self.microbatches) for part in (inputs, targets)]
        total = torch.zeros((), device=inputs.device)
        for number, (some, wanted) in enumerate(zip(*pieces, strict=True)):
            with self.accumulating(number < self.microbatches - 1):
                loss = self.loss(some, wanted, forward, loss_of) / self.microbatches
                loss.backward()
            total += loss.detach()
        self.finish_backward()
        if self.num_readers > 1:
            dist.all_reduce(total)
        return total / self.num_readers

    def loss(self, inputs: Tensor, targets: Tensor, forward: Forward, loss_of: LossOf) -> Float[Tensor, ""]:
        """The mean loss of one piece."""
        return loss_of(forward(self.model, inputs), targets)

    def accumulating(self, is_partial: bool) -> AbstractContextManager[None]:
        """Around a forward and backward pass; `is_partial` where another one follows before the step."""
        return nullcontext()

    def finish_backward(self) -> None:
        """Behind the last backward pass: afterwards gradients are means over the ranks."""

    def clip(self, max_norm: float) -> float:
        return float(clip_grad_norm_(self.model.parameters(), max_norm))

    def weights(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def optimizer_state(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(dict(weights))
        self.optimizer.load_state_dict(dict(optimizer_state))

    @property
    def exposed_seconds(self) -> float | None:
        return 0.0
