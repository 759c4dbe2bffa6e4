"""A backward pass in two halves: first the gradient of what came in, later those of the matrices.

Autograd computes both at every linear layer. Here the layer computes the first and leaves what the second needs, its
input and the gradient of its output, for later. Gains, biases and the embedding are small work and stay where they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

LaterWork = list[Callable[[], None]]


class WeightGradients:
    """Decides for the layers given to `take_over` when the gradients of their matrices are computed."""

    def __init__(self) -> None:
        self._later: LaterWork | None = None  # None: at once

    @contextmanager
    def put_off(self) -> Iterator[LaterWork]:
        """A backward pass in this context fills the list instead of adding to the matrices' gradients."""
        self._later = later = []
        try:
            yield later
        finally:
            self._later = None

    def linear(
        self, features: Float[Tensor, "... d_in"], weight: Float[Tensor, "d_out d_in"]
    ) -> Float[Tensor, "... d_out"]:
        """`x W^T`."""
        return _Linear.apply(features, weight, self)  # type: ignore[no-any-return]

    def take_over(self, module: nn.Module) -> None:
        """Let every linear layer inside, a leaf with a matrix `weight`, compute by `linear`; nothing else changes."""
        for layer in module.modules():
            weight = getattr(layer, "weight", None)
            if not any(True for _ in layer.children()) and isinstance(weight, Tensor) and weight.ndim == 2:
                layer.forward = self._forward_of(layer)

    def _forward_of(self, layer: nn.Module) -> Callable[[Tensor], Tensor]:
        plain = layer.forward

        def forward(features: Tensor) -> Tensor:
            if not features.is_floating_point():  # an embedding: it has a matrix, and takes token ids
                return plain(features)
            product = self.linear(features, layer.get_parameter("weight"))
            bias = getattr(layer, "bias", None)
            return product if bias is None else product + bias

        return forward


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, gradients: WeightGradients) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.gradients = gradients
        return features @ weight.T

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        (gradient,) = grad_outputs

        def of_weight() -> Tensor:
            # The inputs' dtype may be wider than the product's under autocast.
            rows = gradient.flatten(0, -2).T @ features.flatten(0, -2).to(gradient.dtype)
            return rows.to(weight.dtype)

        of_features = (gradient @ weight.to(gradient.dtype)).to(features.dtype)
        later: LaterWork | None = ctx.gradients._later
        if later is None:
            return of_features, of_weight(), None

        @torch.no_grad()  # run outside the backward pass, where it would be recorded, and all it was made of kept
        def add() -> None:
            weight.grad = of_weight() if weight.grad is None else weight.grad.add_(of_weight())

        if weight.requires_grad:
            later.append(add)
        return of_features, None, None
