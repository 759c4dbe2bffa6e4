"""Tensor parallelism as a way to train: all ranks read the same batch, and each computes a part of every product."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, optim

from a2_systems.parallel.one_rank import OnOneRank
from a2_systems.parallel.vocab_parallel import TensorParallelLM, vocab_parallel_cross_entropy
from shared.doors.systems import Forward, LossOf


class TensorSplit(OnOneRank):
    """Some heads, hidden units and tokens on each rank; norms, which are small, on all of them.

    The loss is cross-entropy from logits that are never gathered: the `loss_of` that one rank would take is not asked.
    """

    def __init__(self, model: TensorParallelLM, optimizer: optim.Optimizer, microbatches: int) -> None:
        super().__init__(model, optimizer, microbatches)
        self._split = model
        self._name_of = {id(parameter): name for name, parameter in model.module.named_parameters()}

    def loss(self, inputs: Tensor, targets: Tensor, forward: Forward, loss_of: LossOf) -> Float[Tensor, ""]:
        logits_part = forward(self._split.module, inputs)
        return vocab_parallel_cross_entropy(logits_part, targets, self._split.vocab_size).mean()

    @torch.no_grad()
    def clip(self, max_norm: float) -> float:
        """Squares of pieces are added up over the ranks, those of what all ranks hold counted once.

        Source: [clip-2013] algorithm 1.
        """
        squares = torch.zeros(2, device=next(self.model.parameters()).device)
        gradients = []
        for name, parameter in self._split.module.named_parameters():
            if parameter.grad is not None:
                gradients.append(parameter.grad)
                squares[int(name in self._split.split_dims)] += parameter.grad.float().square().sum()
        of_pieces = squares[1:]
        dist.all_reduce(of_pieces)
        norm = squares.sum().sqrt()
        scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.to(gradient.dtype))
        return float(norm)

    def weights(self) -> dict[str, Tensor]:
        module, full = self._split.module, self._split.full_parameters()
        for name, parameter in module.named_parameters(remove_duplicate=False):
            full[name] = full[self._name_of[id(parameter)]]  # a tied one has several names
        return full | {name: value for name, value in module.state_dict().items() if name not in full}

    def optimizer_state(self) -> dict[str, Any]:
        return self._with_state(self.optimizer.state_dict(), self._split.full_like)

    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Any]) -> None:
        module = self._split.module
        self._split.load_full_parameters({name: weights[name] for name, _ in module.named_parameters()})
        for name, buffer in module.named_buffers():
            if name in weights:
                buffer.copy_(weights[name])
        self.optimizer.load_state_dict(self._with_state(optimizer_state, self._split.piece_like))

    @property
    def exposed_seconds(self) -> float | None:
        return None  # nearly all of its messages are waited for; they are not timed

    def _with_state(self, saved: Mapping[str, Any], change: Any) -> dict[str, Any]:
        """The state with every tensor of a parameter's own shape, such as a moment, cut or made whole."""
        parameters = list(chain.from_iterable(group["params"] for group in self.optimizer.param_groups))
        state = {
            index: {
                key: change(self._name_of[id(parameters[index])], value)
                if isinstance(value, Tensor) and value.ndim == parameters[index].ndim
                else value
                for key, value in entries.items()
            }
            for index, entries in saved["state"].items()
        }
        return {**saved, "state": state}
