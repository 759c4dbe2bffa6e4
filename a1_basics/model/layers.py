"""The parts of a transformer that look at one position at a time: linear, embedding, RMSNorm, SiLU and SwiGLU.

Written with tensor arithmetic only: nothing here comes from `torch.nn` but `Module` and `Parameter`.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from a1_basics.model.fused import fused_rms_norm, fused_rows

DtypeOrNone = torch.dtype | None
DeviceOrNone = torch.device | str | None


class Linear(nn.Module):
    """`y = x W^T`, W stored as (d_out, d_in) so that each row is one output's weights.

    Starts from a normal with variance 2 / (d_in + d_out), cut at three standard deviations: signals keep their
    scale forwards and gradients theirs backwards.

    Source: [glorot-2010] equation 12.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        bias: bool = False,
        device: DeviceOrNone = None,
        dtype: DtypeOrNone = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_out, d_in, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(d_out, device=device, dtype=dtype)) if bias else None
        deviation = math.sqrt(2 / (d_in + d_out))
        nn.init.trunc_normal_(self.weight, std=deviation, a=-3 * deviation, b=3 * deviation)

    def forward(self, features: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        product = linear(features, self.weight)
        return product if self.bias is None else product + self.bias


def linear(
    features: Float[Tensor, "... d_in"], weight: Float[Tensor, "d_out d_in"]
) -> Float[Tensor, "... d_out"]:
    """Each output is the inner product of the features with one row of `weight`."""
    return features @ weight.T


class Embedding(nn.Module):
    """A table of one learned vector per token id; starts from a standard normal cut at three deviations."""

    def __init__(
        self, vocab_size: int, d_model: int, *, device: DeviceOrNone = None, dtype: DtypeOrNone = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, std=1.0, a=-3.0, b=3.0)

    def forward(self, token_ids: Int[Tensor, "..."]) -> Float[Tensor, "... d_model"]:
        return fused_rows(self.weight, token_ids)


class RMSNorm(nn.Module):
    """Divides each vector by its root mean square and scales each coordinate by a learned gain."""

    def __init__(
        self, d_model: int, eps: float = 1e-5, *, device: DeviceOrNone = None, dtype: DtypeOrNone = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))
        self.eps = eps

    def forward(self, features: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return fused_rms_norm(features, self.weight, self.eps)


def rms_norm(
    features: Float[Tensor, "... d_model"], weight: Float[Tensor, "d_model"], eps: float
) -> Float[Tensor, "... d_model"]:
    """RMSNorm, computed in float32 at least: the squares of half-precision numbers overflow.

    Source: [rmsnorm-2019] equation 4.
    """
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return (normed * weight).to(features.dtype)


def silu(features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """`x * sigmoid(x)`; written with `sigmoid`, since `x / (1 + exp(-x))` overflows for very negative x.

    Source: [gelu-2016] section 2 (there called SiL).
    """
    return features * torch.sigmoid(features)


def softmax(scores: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Exponentials that sum to one along `dim`, shifted by each row's own maximum so that none overflows."""
    shifted = scores - scores.amax(dim=dim, keepdim=True)
    exponentials = shifted.exp()
    return exponentials / exponentials.sum(dim=dim, keepdim=True)


class SwiGLU(nn.Module):
    """The gated feed-forward `w2(silu(w1 x) * w3 x)`.

    Source: [glu-2020] equation 6.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        *,
        activation: Callable[[Tensor], Tensor] = silu,
        device: DeviceOrNone = None,
        dtype: DtypeOrNone = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.w1 = Linear(d_model, d_ff, device=device, dtype=dtype)
        self.w2 = Linear(d_ff, d_model, device=device, dtype=dtype)
        self.w3 = Linear(d_model, d_ff, device=device, dtype=dtype)

    def forward(self, features: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return self.w2(self.activation(self.w1(features)) * self.w3(features))
