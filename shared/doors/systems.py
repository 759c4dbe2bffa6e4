"""What stage 2 offers through its door: kernels, and training on several devices.

The first eight names are those of the public assignment 2, the next five those of its 2025 edition.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn, optim


@runtime_checkable
class SystemsDoor(Protocol):
    """Stage 2: the same numbers as stage 1, faster, on more devices, in less memory."""

    def get_flashattention_autograd_function_pytorch(self) -> type[torch.autograd.Function]:
        """The class whose `apply(Q, K, V, is_causal)` is attention by tiles, in plain torch."""
        ...

    def get_flashattention_autograd_function_triton(self) -> type[torch.autograd.Function]:
        """The same, its forward pass a Triton kernel."""
        ...

    def get_ddp(self, module: nn.Module) -> nn.Module:
        """Wraps a module so that every rank trains the same weights; the module itself is `.module`."""
        ...

    def ddp_on_after_backward(self, ddp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called between backward and step: afterwards gradients are means over the ranks."""
        ...

    def get_fsdp(self, module: nn.Module, compute_dtype: torch.dtype | None = None) -> nn.Module:
        """Wraps a module so that each rank keeps a part of every matrix; the module itself is `.module`."""
        ...

    def fsdp_on_after_backward(self, fsdp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called between backward and step: afterwards each shard has its mean gradient."""
        ...

    def fsdp_gather_full_params(self, fsdp_model: nn.Module) -> dict[str, Tensor]:
        """Every full parameter under the name it has in the unwrapped module; called on all ranks."""
        ...

    def get_sharded_optimizer(
        self, params: Iterable[Any], optimizer_cls: Callable[..., optim.Optimizer], **kwargs: Any
    ) -> optim.Optimizer:
        """An optimizer whose state is spread over the ranks."""
        ...

    def get_ddp_individual_parameters(self, module: nn.Module) -> nn.Module:
        """The name of `get_ddp` in 2025."""
        ...

    def ddp_individual_parameters_on_after_backward(
        self, ddp_model: nn.Module, optimizer: optim.Optimizer
    ) -> None:
        """The name of `ddp_on_after_backward` in 2025."""
        ...

    def get_ddp_bucketed(self, module: nn.Module, bucket_size_mb: float) -> nn.Module:
        """As `get_ddp`, gradients travelling in buckets of at most this size."""
        ...

    def ddp_bucketed_on_after_backward(self, ddp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called between backward and step: waits for the buckets."""
        ...

    def ddp_bucketed_on_train_batch_start(self, ddp_model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Called before each batch."""
        ...
