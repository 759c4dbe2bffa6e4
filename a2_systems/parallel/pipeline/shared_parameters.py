"""Parameters that several ranks hold: a table tied between the first stage and the last, or stages with two copies.

Each holder computes a part of the gradient. Added up, it is the same on all of them, and equal optimizers keep the
copies equal.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SharedParameters:
    """Which ranks hold which parameter, with a process group for every set of ranks that share some.

    `names_of_rank[r]` are the names that rank r holds; `parameters` all of the model's. Made on all ranks at once.
    """

    def __init__(self, names_of_rank: Sequence[set[str]], parameters: Mapping[str, nn.Parameter]) -> None:
        self.holders = {
            name: tuple(rank for rank, names in enumerate(names_of_rank) if name in names)
            for name in parameters
        }
        self._like = {name: torch.empty_like(each, device="meta") for name, each in parameters.items()}
        self._before: dict[nn.Parameter, Tensor | None] = {}
        self._groups: list[tuple[tuple[int, ...], dist.ProcessGroup, list[nn.Parameter]]] = []
        for ranks in sorted({ranks for ranks in self.holders.values() if len(ranks) > 1}):
            group = dist.new_group(
                list(ranks)
            )  # a collective call: every rank makes every group, in one order
            if dist.get_rank() in ranks:
                assert isinstance(group, dist.ProcessGroup)
                mine = [parameters[name] for name, holders in self.holders.items() if holders == ranks]
                self._groups.append((ranks, group, mine))

    def start_equal(self) -> None:
        """Every copy becomes that of the lowest rank that holds it."""
        for ranks, group, parameters in self._groups:
            for parameter in parameters:
                dist.broadcast(parameter.data, src=ranks[0], group=group)

    def set_gradients_aside(self) -> None:
        """What is there before a step is the same on all holders already: it must not be added up again."""
        self._before = {each: each.grad for _, _, parameters in self._groups for each in parameters}
        for parameter in self._before:
            parameter.grad = None

    def add_up_gradients(self) -> None:
        """One message for each set of holders: the sum of their gradients, beside what was there before."""
        for _, group, parameters in self._groups:
            gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat, group=group)
            sizes = [each.numel() for each in parameters]
            for parameter, total in zip(parameters, flat.split(sizes), strict=True):
                before = self._before[parameter]
                parameter.grad = total.view_as(parameter) + (0 if before is None else before)

    def gathered(self, mine: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Every parameter on every rank, sent by the lowest that holds it; called on all."""
        device = next(iter(mine.values())).device
        found = {}
        for name, ranks in self.holders.items():
            full = (
                mine[name].detach().clone()
                if name in mine
                else torch.empty_like(self._like[name], device=device)
            )
            dist.broadcast(full, src=ranks[0])
            found[name] = full
        return found
