"""Data parallelism, the plain way: first the whole backward pass, then the gradients.

`NaiveDDP` sends a message for each parameter, `FlatDDP` one for all: the same bytes, fewer latencies. Neither hides any
of it behind computation; that is what ddp.py is for.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from a2_systems.parallel.replicas import Replica, presence


class NaiveDDP(Replica):
    """After backward, one all-reduce for each parameter, in their order."""

    @torch.no_grad()
    def _average_gradients(self) -> None:
        for parameter in used_somewhere(self.trained, self.group):
            gradient = gradient_or_zeros(parameter).contiguous()
            dist.all_reduce(gradient, group=self.group)
            parameter.grad = gradient.div_(self.ranks)


class FlatDDP(NaiveDDP):
    """After backward, all gradients laid end to end in one message (one for each dtype)."""

    @torch.no_grad()
    def _average_gradients(self) -> None:
        average_flat(self.trained, self.group)


def used_somewhere(
    parameters: list[nn.Parameter], group: dist.ProcessGroup | None = None
) -> list[nn.Parameter]:
    """Those for which any rank has a gradient: the same list on all ranks, so all send the same."""
    is_somewhere = presence(parameters)
    dist.all_reduce(is_somewhere, dist.ReduceOp.MAX, group=group)
    return [p for p, is_used in zip(parameters, is_somewhere.tolist(), strict=True) if is_used]


def average_flat(parameters: list[nn.Parameter], group: dist.ProcessGroup | None = None) -> None:
    """The mean over the ranks in every `.grad`, by one message for each dtype."""
    used = used_somewhere(parameters, group) if parameters else []  # as many parameters on all ranks
    for dtype in dict.fromkeys(parameter.dtype for parameter in used):
        members = [parameter for parameter in used if parameter.dtype == dtype]
        message = flattened(members)
        dist.all_reduce(message, group=group)
        unflatten(message.div_(dist.get_world_size(group)), members)


def gradient_or_zeros(parameter: nn.Parameter) -> Tensor:
    """What a rank adds to the sum: nothing, where its batch did not reach the parameter."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def flattened(parameters: list[nn.Parameter]) -> Tensor:
    """The gradients end to end in new memory, zeros for those that are missing."""
    return torch.cat([gradient_or_zeros(parameter).reshape(-1) for parameter in parameters])


def unflatten(message: Tensor, parameters: list[nn.Parameter]) -> None:
    """Write each parameter's piece of the message to its `.grad`, making one where there is none."""
    pieces = message.split([parameter.numel() for parameter in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
        parameter.grad.copy_(piece.view_as(parameter))
