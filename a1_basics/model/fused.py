"""The fast twins of `layers.rms_norm` and `layers.silu`: same numbers, fewer passes over memory.

Both are bound by bytes, not arithmetic. Autograd writes one temporary for every product of the clear versions and reads
it again on the way back; the gradient worked out by hand needs a fifth of that traffic (docs/benchmarks.md).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class _RMSNorm(torch.autograd.Function):
    """`y = n * weight` with `n = x * r`, `r = rsqrt(mean(x^2) + eps)`.

    With g the gradient of y and h = g * weight, the chain rule through r collapses to
    `dx = r * (h - n * mean(h * n))`: what is parallel to x drops out, since scaling x does not change n.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        scale = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
        normed = wide * scale
        ctx.save_for_backward(normed, weight, scale)
        ctx.dtype = features.dtype
        return (normed * weight).to(features.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, weight, scale = ctx.saved_tensors
        gradient = gradients[0].to(normed.dtype)
        by_normed = gradient * normed
        of_weight = by_normed.reshape(-1, weight.shape[0]).sum(dim=0).to(weight.dtype)
        # Sums, no matrix product: autocast, where it is on, would round that one to half precision.
        parallel = by_normed.mul_(weight).mean(dim=-1, keepdim=True)
        of_features = (gradient * weight).addcmul_(normed, parallel, value=-1).mul_(scale)
        return of_features.to(ctx.dtype), of_weight, None


def fused_rms_norm(
    features: Float[Tensor, "... d_model"], weight: Float[Tensor, "d_model"], eps: float
) -> Float[Tensor, "... d_model"]:
    """The fast `rms_norm`."""
    return _RMSNorm.apply(features, weight, eps)  # type: ignore[no-any-return]


def fused_silu(features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The fast `silu`: torch's kernel, one pass each way."""
    return F.silu(features)
