"""Activation checkpointing: keep what enters a part of the model, and compute its inside again in the backward pass.

Memory for time. A block keeps some twenty times the bytes of its input; with every block checkpointed only the inputs
stay, one block's inside comes back at a time, and the step costs one forward pass more.

Source: [checkpointing-2016] section 3.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor


def run_checkpointed(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, of which only the arguments are kept for the backward pass.

    The function runs again when its gradients are asked for, with the random numbers and the autocast of the first
    time, so that dropout drops the same numbers. It returns a tensor or a tuple with tensors, and must not change
    its arguments. Parameters it uses get their gradients as ever, also when no argument needs one.

    Raises:
        RuntimeError: in the backward pass, when an argument was overwritten meanwhile, or when only some gradients
            are asked for (`torch.autograd.grad`): recomputation gives them to the parameters directly.
    Source: [checkpointing-2016] section 3; random state and autocast as in torch's own.
    """
    # An output needs a gradient only if an input does. Parameters inside `function` are no inputs, so one that
    # weighs nothing stands for them; without it the first checkpointed block of a model would never learn.
    return _Checkpointed.apply(function, torch.empty(0, requires_grad=True), *args)


class _Checkpointed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], stand_in: Tensor, *args: Any) -> Any:
        ctx.function = function
        ctx.plain = [None if isinstance(value, Tensor) else value for value in args]
        ctx.tensor_places = [place for place, value in enumerate(args) if isinstance(value, Tensor)]
        tensors = [args[place] for place in ctx.tensor_places]
        ctx.needs_grad = [tensor.requires_grad for tensor in tensors]
        ctx.devices = sorted({tensor.device.index or 0 for tensor in tensors if tensor.device.type == "cuda"})
        ctx.random = _random_state(ctx.devices)
        ctx.autocasts = [
            (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
            for kind in ("cpu", "cuda")
        ]
        ctx.save_for_backward(*tensors)  # which also notices when one is overwritten
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if not torch.autograd._is_checkpoint_valid():
            raise RuntimeError(
                "a checkpointed function was asked for some gradients only (torch.autograd.grad, or backward with "
                "inputs=); call backward() without inputs, or run this part without checkpointing"
            )
        args = list(ctx.plain)
        for place, tensor, needs_grad in zip(
            ctx.tensor_places, ctx.saved_tensors, ctx.needs_grad, strict=True
        ):
            args[place] = tensor.detach().requires_grad_(needs_grad)
        with torch.random.fork_rng(devices=ctx.devices), torch.enable_grad(), _autocast(ctx.autocasts):
            _set_random_state(ctx.random, ctx.devices)
            results = ctx.function(*args)
        results = (results,) if isinstance(results, Tensor) else results
        wanted = [
            (result, gradient)
            for result, gradient in zip(results, gradients, strict=True)
            if isinstance(result, Tensor) and result.requires_grad and gradient is not None
        ]
        if wanted:
            torch.autograd.backward([result for result, _ in wanted], [gradient for _, gradient in wanted])
        return None, None, *(value.grad if isinstance(value, Tensor) else None for value in args)


@contextmanager
def _autocast(autocasts: Sequence[tuple[str, torch.dtype, bool]]) -> Iterator[None]:
    """The precision of the first run, wherever the backward pass is called."""
    with ExitStack() as stack:
        for kind, dtype, is_on in autocasts:
            if is_on or torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, dtype=dtype, enabled=is_on))
        yield


def _random_state(devices: Sequence[int]) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


def _set_random_state(states: Sequence[Tensor], devices: Sequence[int]) -> None:
    torch.set_rng_state(states[0])
    for device, state in zip(devices, states[1:], strict=True):
        torch.cuda.set_rng_state(state, device)
