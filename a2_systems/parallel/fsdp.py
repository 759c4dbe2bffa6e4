"""Fully sharded data parallelism: no rank holds more of any matrix than its rows, but for the layer that is running.

What travels, for each layer and step: the whole matrix before its forward pass, the whole matrix again before its
backward pass, and its gradient after that, each rank keeping the mean of its own rows. The matrix of the next layer
is under way while a layer computes. Layers are watched by hooks, so the module keeps its classes, and its parameters
their names.
"""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from a2_systems.parallel.ddp_naive import average_flat
from a2_systems.parallel.fsdp_weight import ShardedWeight
from a2_systems.parallel.replicas import Mark, broadcast, noted, seconds_between
from shared.errors import ConfigError


class FSDP(nn.Module):
    """Shards the `weight` of every leaf module where that is a matrix, and keeps the rest on all ranks.

    Rank 0's parameters and buffers are everyone's at the start. Optimizers are built from `parameters()` afterwards:
    these are the shards, float32 masters even with a `compute_dtype`, in which layers compute and matrices travel.
    Call `finish_gradient_synchronization` before the optimizer. All ranks must run the same layers in the same order.

    A weight that another module reads than the one it belongs to (a table of embeddings that also makes the logits)
    is noticed when that happens, and then stays until the forward pass ends, and in the backward pass until its
    gradient is complete.

    Source: [fsdp-2023] sections 3 and 4; [zero-2020] section 5.3.
    """

    def __init__(self, module: nn.Module, compute_dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.compute_dtype = compute_dtype
        self._is_running = False
        self._order: list[ShardedWeight] = []  # in which layers run: as registered, until they have
        self._ran: list[ShardedWeight] = []
        self._in_graph: list[ShardedWeight] = []  # those of this forward pass that a backward pass will want
        self._small: dict[
            nn.Module, dict[str, nn.Parameter]
        ] = {}  # parameters of a layer, while it sees casts
        self._reducing: list[ShardedWeight] = []
        self._waits: list[tuple[Mark, Mark]] = []  # for messages, since the last step
        self._waits_of_step: list[tuple[Mark, Mark]] = []  # in that step
        self._num_waits_before = 0  # this forward pass
        named = list(module.named_parameters(remove_duplicate=False))
        for tensor in chain({id(p): p for _, p in named}.values(), module.buffers()):
            broadcast(tensor)

        self._weights: list[ShardedWeight] = []  # by identity of the parameter: a tied one is sharded once
        sharded: dict[int, ShardedWeight] = {}
        for leaf, weight in [(m, m._parameters.get("weight")) for m in module.modules()]:
            if weight is None or weight.ndim != 2 or next(leaf.children(), None) is not None:
                continue
            if id(weight) not in sharded:
                sharded[id(weight)] = self._shard(weight, module)
            self._watch(leaf, sharded[id(weight)])
        self._targets: dict[str, ShardedWeight | nn.Parameter] = {
            name: sharded.get(id(parameter), parameter) for name, parameter in named
        }
        self._replicated = list({id(p): p for _, p in named if id(p) not in sharded}.values())
        self._names = [name for name, _ in module.named_parameters()]

        self._order = list(self._weights)
        module.register_forward_pre_hook(self._before_all, prepend=True)
        module.register_forward_hook(self._after_all, always_call=True)
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _shard(self, weight: nn.Parameter, module: nn.Module) -> ShardedWeight:
        places = [(m, n) for m in module.modules() for n, p in m._parameters.items() if p is weight]
        sharded = ShardedWeight(weight, places, self.compute_dtype, self._waits)
        sharded.whole.before_use = partial(self._before_use, sharded)
        if weight.requires_grad:
            sharded.whole.register_post_accumulate_grad_hook(lambda _: self._after_backward(sharded))
        self._weights.append(sharded)
        return sharded

    def _watch(self, leaf: nn.Module, weight: ShardedWeight) -> None:
        leaf.register_forward_pre_hook(partial(self._before_forward, weight), with_kwargs=True)
        leaf.register_forward_hook(partial(self._after_forward, weight), always_call=True)

    # The forward pass: of the whole module, of one layer, and of a layer's weight elsewhere.

    def _before_all(self, module: nn.Module, args: Any) -> None:
        self._is_running, self._ran, self._in_graph = True, [], []
        self._num_waits_before = len(self._waits)
        for weight in self._weights:
            weight.show(weight.whole)

    def _after_all(self, module: nn.Module, args: Any, output: Any) -> None:
        self._is_running, self._order = False, self._ran
        elsewhere = [weight for weight in self._weights if weight.used_outside]
        for tensor in _in_graph(output) if elsewhere else ():
            tensor.register_hook(partial(self._before_backward_elsewhere, elsewhere))
        for weight in self._weights:
            weight.show(weight.shard)
            weight.used_outside = False
            self._free_unless_needed(weight)
        if not torch.is_grad_enabled():  # an evaluation is no part of a training step
            del self._waits[self._num_waits_before :]

    def _before_forward(self, weight: ShardedWeight, leaf: nn.Module, args: Any, kwargs: Any) -> Any:
        weight.show(weight.whole)
        weight.gather()
        weight.is_lent = True
        if self._is_running:
            self._ran.append(weight)
            turn = len(self._ran)
            if self._order[turn - 1 : turn] == [weight]:
                for following in self._order[turn : turn + 1]:
                    following.start_gather()  # the layer before this one has ended, and its memory is free
        if self.compute_dtype is not None:
            own = {name: p for name, p in leaf._parameters.items() if p is not None and p is not weight.whole}
            self._small[leaf] = dict(own)
            for name, parameter in own.items():
                leaf._parameters[name] = self._cast(parameter)  # type: ignore[assignment]
        return tree_map(partial(self._prepared, weight), (args, kwargs))

    def _after_forward(self, weight: ShardedWeight, leaf: nn.Module, args: Any, output: Any) -> None:
        leaf._parameters.update(self._small.pop(leaf, {}))
        weight.is_lent = False
        if not self._is_running:  # a layer called by itself, or run again in a backward pass
            weight.show(weight.shard)
        if not weight.used_outside:
            self._free_unless_needed(weight)
        line = self._in_graph if self._is_running else []
        tensors = list(_in_graph(output))
        line += [weight] * bool(tensors)
        for tensor in tensors:
            tensor.register_hook(partial(self._before_backward, line, len(line) - 1))

    def _before_use(self, weight: ShardedWeight) -> None:
        if self._is_running and not weight.is_lent:
            weight.gather()
            weight.used_outside = True

    def _prepared(self, weight: ShardedWeight, value: Any) -> Any:
        """An input of a layer: in the dtype of its weight, and a sign of when its backward pass is over."""
        if not isinstance(value, Tensor):
            return value
        value = self._cast(value)
        if value.requires_grad and not weight.shard.requires_grad and torch.is_grad_enabled():
            value = value.view_as(value)  # a tensor that only this layer reads
            value.register_hook(lambda _: weight.free())
        return value

    def _cast(self, value: Tensor) -> Tensor:
        return value.to(self.compute_dtype) if self.compute_dtype and value.is_floating_point() else value

    @staticmethod
    def _free_unless_needed(weight: ShardedWeight) -> None:
        if not weight.is_needed:
            weight.free()

    # The backward pass.

    def _before_backward(self, line: list[ShardedWeight], turn: int, gradient: Tensor) -> None:
        line[turn].gather()
        line[turn].is_needed = True
        if turn > 0:
            line[turn - 1].start_gather()

    def _before_backward_elsewhere(self, weights: list[ShardedWeight], gradient: Tensor) -> None:
        for weight in weights:
            weight.gather()
            weight.is_needed = True

    def _after_backward(self, weight: ShardedWeight) -> None:
        weight.free()
        while len(self._reducing) > 1:  # at most two gradients of whole matrices are on their way
            self._reducing.pop(0).settle()
        weight.start_reduce()
        self._reducing.append(weight)

    @torch.no_grad()
    def finish_gradient_synchronization(self) -> None:
        """Every gradient is the mean over the ranks afterwards: of the shards, and of what all ranks hold."""
        for weight in self._weights:
            weight.settle()
            weight.free()  # fetched for a layer that this backward pass never came to
        self._reducing.clear()
        trained = [parameter for parameter in self._replicated if parameter.requires_grad]
        with noted(self._waits, self._replicated or [weight.shard for weight in self._weights]):
            average_flat(trained)
        self._waits_of_step = self._waits.copy()
        self._waits.clear()

    @property
    def exposed_seconds(self) -> float:
        """How long the last step waited for matrices and gradients with nothing else to do."""
        return sum((seconds_between(*wait) for wait in self._waits_of_step), 0.0)

    @torch.no_grad()
    def clip_gradients(self, max_norm: float, eps: float = 1e-6) -> Float[Tensor, ""]:
        """Scale all gradients so that their joint norm, over all ranks, is at most `max_norm`; the norm found before.

        Squares of shards are added up over the ranks, those of replicated parameters counted once. To be called on
        all ranks, after `finish_gradient_synchronization`.

        Source: [clip-2013] algorithm 1.
        """
        shards = [weight.shard.grad for weight in self._weights if weight.shard.grad is not None]
        replicated = [parameter.grad for parameter in self._replicated if parameter.grad is not None]
        device = self._weights[0].shard.device if self._weights else self._replicated[0].device
        squares = torch.zeros(2, device=device)
        for which, gradients in enumerate((shards, replicated)):
            for gradient in gradients:
                squares[which] += gradient.float().square().sum()
        of_shards = squares[:1]
        dist.all_reduce(of_shards)
        norm = squares.sum().sqrt()
        scale = (max_norm / (norm + eps)).clamp(max=1.0)
        for gradient in (*shards, *replicated):
            gradient.mul_(scale.to(gradient.dtype))
        return norm

    # Whole parameters, for checkpoints and for other numbers of ranks.

    def full_parameters(self) -> dict[str, Tensor]:
        """Copies of all parameters under the names of the unwrapped module, float32 masters; called on all ranks.

        A tied parameter has its first name, as in `named_parameters()`.
        """
        return {name: self.full_parameter(name) for name in self._names}

    def full_parameter(self, name: str) -> Tensor:
        """A copy of one of them, by any of its names; called on all ranks."""
        return _full(self._targets[name])

    def load_full_parameters(self, parameters: dict[str, Tensor]) -> None:
        """Each rank takes its rows of `parameters`, whatever number of ranks they come from; no rank talks.

        Raises:
            ConfigError: a name is missing or unknown, a shape differs, or two names of one tied parameter disagree.
        """
        missing = [name for name in self._names if name not in parameters]
        unknown = [name for name in parameters if name not in self._targets]
        if missing or unknown:
            raise ConfigError(
                f"wanted one tensor for each parameter of the module; missing: {missing or 'none'}, "
                f"unknown: {unknown or 'none'}"
            )
        given: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in parameters.items():
            target = self._targets[name]
            shape = target.whole.shape if isinstance(target, ShardedWeight) else target.shape
            if tensor.shape != shape:
                raise ConfigError(f"{name} has shape {tuple(tensor.shape)}; wanted {tuple(shape)}")
            first, other = given.setdefault(id(target), (name, tensor))
            if other is not tensor and not torch.equal(other, tensor):
                raise ConfigError(
                    f"{first} and {name} are one tied parameter, and came with different numbers"
                )
        for name, tensor in parameters.items():
            target = self._targets[name]
            if isinstance(target, ShardedWeight):
                target.shard.data.copy_(target.own_rows(tensor))
            else:
                target.data.copy_(tensor)

    def full_like(self, parameter: nn.Parameter, part: Tensor) -> Tensor:
        """What an optimizer keeps for one of `parameters()`, made whole; called on all ranks."""
        weight = next((weight for weight in self._weights if weight.shard is parameter), None)
        return part if weight is None else weight.full(part)

    def shard_like(self, parameter: nn.Parameter, full: Tensor) -> Tensor:
        """This rank's part of what `full_like` made whole, on whatever number of ranks."""
        weight = next((weight for weight in self._weights if weight.shard is parameter), None)
        return full if weight is None else weight.own_rows(full).clone()


def _full(target: ShardedWeight | nn.Parameter) -> Tensor:
    if isinstance(target, ShardedWeight):
        return target.full()
    return target.detach().to(torch.promote_types(target.dtype, torch.float32)).clone()


def _in_graph(output: Any) -> Iterator[Tensor]:
    """The tensors of an output that a backward pass can come through."""
    return (leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.requires_grad)
