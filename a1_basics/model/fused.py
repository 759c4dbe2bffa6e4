"""The fast twins of `layers.rms_norm` and `layers.silu`, and of a table's rows: same numbers, fewer passes over memory.

All are bound by bytes, not arithmetic. Autograd writes one temporary for every product of the clear versions and reads
it again on the way back; the gradient worked out by hand needs a fifth of that traffic (docs/benchmarks.md).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
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


class _Rows(torch.autograd.Function):
    """`table[ids]`, whose gradient adds up the same way in every run.

    Autograd's own gradient of indexing adds with several threads into one row, in whatever order they come: from 32,768
    numbers on, two runs of one training differ in the last bits, and a resumed one from the undisturbed. torch's
    gradient of an embedding gives each row to one thread; it is also several times as fast.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.num_rows = table.shape[0]
        return table[ids]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (ids,) = ctx.saved_tensors
        dense = torch.ops.aten.embedding_dense_backward
        return dense(gradients[0], ids, ctx.num_rows, padding_idx=-1, scale_grad_by_freq=False), None


def fused_rows(table: Float[Tensor, "rows d_model"], ids: Int[Tensor, "..."]) -> Float[Tensor, "... d_model"]:
    """The fast `table[ids]`."""
    return _Rows.apply(table, ids)  # type: ignore[no-any-return]
