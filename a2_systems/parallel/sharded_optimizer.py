"""ZeRO-1: every rank holds all parameters, and the optimizer state of only its share of them.

AdamW keeps two numbers for each parameter, so of 16 bytes per parameter in float32 (weight, gradient, two moments)
the ranks need not repeat 8. Each rank updates the parameters that it owns and sends them to the others: as many bytes
as one broadcast of the model, after each step.
"""

import inspect
import io
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, optim

from shared.errors import ConfigError

NO_SETTINGS = ("params", "param_names")
"""What a param group holds besides settings."""


def sharded_optimizer(
    params: Iterable[Any], optimizer_cls: Callable[..., optim.Optimizer], **kwargs: Any
) -> "ShardedOptimizer":
    """`optimizer_cls(params, **kwargs)`, its state spread over the ranks; to be called on every rank.

    Source: [zero-2020] section 5.1.
    """
    return ShardedOptimizer(params, optimizer_cls, **kwargs)


class ShardedOptimizer(optim.Optimizer):
    """The outer param groups list every parameter; those of the inner optimizer only what this rank owns.

    A parameter goes, whole, to the rank that has the fewest elements so far, the largest first: all ranks come to the
    same result without a word, no rank exceeds another by more than the largest parameter, and the inner optimizer
    may be one that works on matrices. Settings are read from the outer groups at each step, so a scheduler needs to
    know of nothing. `state` is that of the owned parameters.
    """

    def __init__(
        self, params: Iterable[Any], optimizer_cls: Callable[..., optim.Optimizer], **kwargs: Any
    ) -> None:
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.ranks = dist.get_world_size() if dist.is_initialized() else 1
        self.owners: list[int] = []  # by the index that a state_dict gives a parameter
        self.loads = [0] * self.ranks  # elements owned, by rank
        self.inner: optim.Optimizer | None = None
        self._make_inner = lambda groups: optimizer_cls(groups, **kwargs)
        super().__init__(params, dict(kwargs))  # which calls add_param_group

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Give each parameter of a new group an owner; a tensor that is listed twice counts once."""
        listed = param_group["params"]
        entries = [listed] if isinstance(listed, Tensor) else list(listed)
        once = {id(entry[1] if isinstance(entry, tuple) else entry): entry for entry in entries}
        super().add_param_group({**param_group, "params": list(once.values())})

        group = self.param_groups[-1]
        owners = self._owners_of(group["params"])
        self.owners += owners
        settings = {key: value for key, value in group.items() if key not in NO_SETTINGS}
        mine = [p for p, owner in zip(group["params"], owners, strict=True) if owner == self.rank]
        if self.inner is None:
            self.inner = self._make_inner([{**settings, "params": mine}])
        else:
            self.inner.add_param_group({**settings, "params": mine})
        for key, value in self.inner.param_groups[-1].items():
            if key not in NO_SETTINGS:
                group.setdefault(key, value)  # the defaults of optimizer_cls, for schedulers to find
        self.state = self.inner.state

    def _owners_of(self, parameters: list[Tensor]) -> list[int]:
        """The least loaded rank for each, the largest parameter first; a frozen one weighs nothing: it has no state."""
        owners = [0] * len(parameters)
        sizes = [parameter.numel() if parameter.requires_grad else 0 for parameter in parameters]
        for index in sorted(range(len(parameters)), key=lambda i: (-sizes[i], i)):
            owners[index] = min(range(self.ranks), key=lambda rank: (self.loads[rank], rank))
            self.loads[owners[index]] += sizes[index]
        return owners

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Update what this rank owns, then send it to the others; `closure` runs on every rank."""
        assert self.inner is not None  # Optimizer refuses an empty list of parameters
        _copy_settings(self.param_groups, self.inner.param_groups)
        given = () if closure is None else (torch.enable_grad()(closure),)
        loss = self.inner.step(*given, **kwargs)
        _copy_settings(self.inner.param_groups, self.param_groups)  # some optimizers keep a count there
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        sends = [
            dist.broadcast(_dense(parameter), src=owner, async_op=True)
            for parameter, owner in zip(parameters, self.owners, strict=True)
            if parameter.requires_grad and self.ranks > 1
        ]
        for send in sends:
            assert send is not None  # async_op=True
            send.wait()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """This rank's part: quick to write, and to be read again by the same rank of as many ranks.

        Parameters keep the indices they have in an unsharded optimizer. `full_state_dict` is the portable one.
        """
        return {
            **super().state_dict(),
            "sharding": {"rank": self.rank, "ranks": self.ranks, "owners": list(self.owners)},
        }

    def full_state_dict(self) -> dict[str, Any]:
        """The state of all parameters, as the unsharded optimizer would save it; called on all ranks.

        Rank 0 has it afterwards, on its CPU, and the others none of it: it comes one parameter at a time. It loads into
        any number of ranks, and into `optimizer_cls` itself.
        """
        local = super().state_dict()
        if self.ranks == 1:
            return local
        found = {i: sent_to_lead(local["state"].get(i), owner) for i, owner in enumerate(self.owners)}
        return {**local, "state": {index: state for index, state in found.items() if state is not None}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back this rank's part, or take this rank's share out of a full state.

        Raises:
            ConfigError: a part that another rank, another number of ranks or other parameters wrote.
            ValueError: groups that differ from this optimizer's.
        """
        assert self.inner is not None
        wanted = {"rank": self.rank, "ranks": self.ranks, "owners": list(self.owners)}
        found = state_dict.get("sharding", wanted)
        for what in wanted:
            if found.get(what) != wanted[what]:
                raise ConfigError(
                    f"this optimizer state was saved with {what}={found.get(what)}, and this optimizer has {what}="
                    f"{wanted[what]}. A rank's part fits only the same rank of as many ranks: save full_state_dict() "
                    "to go on with others"
                )
        super().load_state_dict({"state": {}, "param_groups": state_dict["param_groups"]})

        saved = list(chain.from_iterable(group["params"] for group in state_dict["param_groups"]))
        mine = [index for index, owner in zip(saved, self.owners, strict=True) if owner == self.rank]
        place = {index: position for position, index in enumerate(mine)}  # in the inner optimizer's own count
        groups, start = [], 0
        for outer, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            settings = {key: value for key, value in outer.items() if key not in NO_SETTINGS}
            names = {key: inner[key] for key in NO_SETTINGS[1:] if key in inner}
            end = start + len(inner["params"])
            groups.append({**settings, **names, "params": list(range(start, end))})
            start = end
        state = {place[index]: value for index, value in state_dict["state"].items() if index in place}
        self.inner.load_state_dict({"state": state, "param_groups": groups})
        self.state = self.inner.state


def constructor_settings(optimizer: optim.Optimizer) -> dict[str, Any]:
    """The defaults of an optimizer as another of its class is built with: some classes keep more than they take.

    What is left out is not lost where param groups are handed over: each holds all settings.
    """
    taken = inspect.signature(type(optimizer)).parameters
    return {key: value for key, value in optimizer.defaults.items() if key in taken}


def gathered(mine: Any) -> list[Any]:
    """What every rank has, of tensors and plain values: on rank 0, from one after the other. Nothing on the others."""
    parts = [sent_to_lead(mine, source) for source in range(dist.get_world_size())]
    return parts if dist.get_rank() == 0 else []


def sent_to_lead(value: Any, source: int) -> Any:
    """What rank `source` has, of tensors and plain values: a copy on rank 0's CPU; None elsewhere. Called on both.

    It travels as bytes that are read as data; torch's own gathering of objects would run what is in them.
    """
    rank = dist.get_rank()
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else "cpu"
    data = torch.empty(0, dtype=torch.uint8)
    if rank == source:
        file = io.BytesIO()
        torch.save(value, file)
        data = torch.frombuffer(bytearray(file.getbuffer()), dtype=torch.uint8)
    if rank == source != 0:
        dist.send(torch.tensor(len(data), device=device), 0)
        dist.send(data.to(device), 0)
    if rank != 0:
        return None
    if source != 0:
        size = torch.zeros((), dtype=torch.int64, device=device)
        dist.recv(size, source)
        data = torch.empty(int(size), dtype=torch.uint8, device=device)
        dist.recv(data, source)
    return torch.load(io.BytesIO(data.cpu().numpy().tobytes()), map_location="cpu", weights_only=True)


def _copy_settings(source: list[dict[str, Any]], target: list[dict[str, Any]]) -> None:
    for given, taken in zip(source, target, strict=True):
        taken.update({key: value for key, value in given.items() if key not in NO_SETTINGS})


def _dense(parameter: Tensor) -> Tensor:
    """The numbers of a parameter for a collective, which wants them in one piece.

    Raises:
        ConfigError: the parameter has gaps in memory, so what another rank sends could not be written there.
    """
    if not parameter.is_contiguous():
        raise ConfigError(
            f"a parameter of shape {tuple(parameter.shape)} and strides {parameter.stride()} is not contiguous; "
            "make it so before the optimizer is built"
        )
    return parameter.detach()
