"""What a training takes of an implementation that has parts of stage 2 of its own: its wrapper, optimizer, attention.

Whoever solved a problem trains with the solution, without having to write the hook `parallelize` as well; whoever did
write that gets it. What is missing is the reference's.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn, optim

from a2_systems.parallel.one_rank import OnOneRank
from a2_systems.parallel.sharded_optimizer import constructor_settings, gathered
from shared.doors.protocols import Attend
from shared.doors.resolve import own_functions
from shared.doors.systems import Spread, Strategy, SystemsDoor
from shared.errors import ConfigError

GRADED = {
    "naive": ("get_naive_ddp",),
    "overlap": ("get_ddp",),
    "bucketed": ("get_ddp_bucketed",),
    "zero1": ("get_ddp_bucketed", "get_sharded_optimizer"),
}
"""The functions of the door behind each strategy; flat and fsdp are the hook's alone."""


def spread_by(
    systems: SystemsDoor, model: nn.Module, optimizer: optim.Optimizer, strategy: Strategy
) -> Spread:
    """`systems.parallelize`, or where that is borrowed, the same put together from the functions that are not."""
    own = own_functions(systems)
    is_alone = not dist.is_initialized()  # and so without anybody to send to
    if "parallelize" in own or is_alone or own.isdisjoint(GRADED.get(strategy.name, ())):
        return systems.parallelize(model, optimizer, strategy)
    return SpreadByDoor(systems, model, optimizer, strategy)


class SpreadByDoor(OnOneRank):
    """A strategy made of door functions, of which nothing is known but what the handout asks."""

    def __init__(
        self, systems: SystemsDoor, model: nn.Module, optimizer: optim.Optimizer, strategy: Strategy
    ) -> None:
        super().__init__(model, optimizer, strategy.microbatches, is_shared_out=True)
        self._start: Callable[[nn.Module, optim.Optimizer], None] = lambda model, optimizer: None
        match strategy.name:
            case "naive":
                self.model = systems.get_naive_ddp(model)
                self._finish = systems.naive_ddp_on_after_backward
            case "overlap":
                self.model = systems.get_ddp(model)
                self._finish = systems.ddp_on_after_backward
            case _:
                self.model = systems.get_ddp_bucketed(model, strategy.bucket_size_mb)
                self._start = systems.ddp_bucketed_on_train_batch_start
                self._finish = systems.ddp_bucketed_on_after_backward
        self._is_sharded = strategy.name == "zero1"
        if self._is_sharded:
            groups = [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
            self.optimizer = systems.get_sharded_optimizer(
                groups, type(optimizer), **constructor_settings(optimizer)
            )

    @contextmanager
    def accumulating(self, is_partial: bool) -> Iterator[None]:
        """Every microbatch is a batch of its own to the wrapper: a mean, with more added to it, is averaged again."""
        self._start(self.model, self.optimizer)
        yield
        if is_partial:
            self._finish(self.model, self.optimizer)

    def finish_backward(self) -> None:
        self._finish(self.model, self.optimizer)

    def weights(self) -> dict[str, Tensor]:
        module: Any = self.model.module
        return dict(module.state_dict())

    def optimizer_state(self) -> dict[str, Any]:
        state = self.optimizer.state_dict()
        return {"by_rank": gathered(state)} if self._is_sharded and dist.is_initialized() else state

    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Any]) -> None:
        """A sharded optimizer's state is laid out as its author likes: each rank takes back what it gave.

        Raises:
            ConfigError: another number of ranks gave it.
        """
        module: Any = self.model.module
        module.load_state_dict(dict(weights))
        parts = optimizer_state.get("by_rank", [optimizer_state])
        num_ranks = dist.get_world_size() if dist.is_initialized() else 1
        if self._is_sharded and len(parts) != num_ranks:
            raise ConfigError(
                f"this run was saved on {len(parts)} ranks with a sharded optimizer whose parts no other number of "
                f"ranks can read, and there are {num_ranks}: go on with --ranks {len(parts)}, or begin anew with "
                "another --name"
            )
        self.optimizer.load_state_dict(parts[dist.get_rank()] if len(parts) > 1 else parts[0])

    @property
    def exposed_seconds(self) -> float | None:
        return None


def attention_for(systems: SystemsDoor, model: nn.Module, device: torch.device) -> Attend | None:
    """The door's kernel for the model's slot, or an implementation's own FlashAttention for this device.

    None for a model without a slot: it runs its own.
    """
    if "attend" not in inspect.signature(model.forward).parameters:
        return None
    own = own_functions(systems)
    is_triton = device.type == "cuda"
    name = f"get_flashattention_autograd_function_{'triton' if is_triton else 'pytorch'}"
    if "attention_kernel" in own or name not in own:
        return systems.attention_kernel()
    apply: Any = getattr(systems, name)().apply

    def attend(
        layer: int,
        queries: Float[Tensor, "batch heads q_len head_dim"],
        keys: Float[Tensor, "batch kv_heads k_len head_dim"],
        values: Float[Tensor, "batch kv_heads k_len head_dim"],
    ) -> Float[Tensor, "batch heads q_len head_dim"]:
        times = queries.shape[1] // keys.shape[1]  # the class knows nothing of shared heads
        keys, values = keys.repeat_interleave(times, 1), values.repeat_interleave(times, 1)
        return apply(queries.to(values.dtype), keys.to(values.dtype), values, True)

    return attend
