"""RMSNorm in plain torch, and the choice between it and the kernel of `rms_norm_triton`."""

from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

WIDEST_ROW_BYTES = 64 * 1024  # in float32: what one program of the kernel still holds in registers


def rms_norm(
    features: Float[Tensor, "... d_model"], weight: Float[Tensor, "d_model"], eps: float = 1e-5
) -> Float[Tensor, "... d_model"]:
    """Each vector over its root mean square, times the gain: as a kernel where one can run, else in plain torch.

    Source: [rmsnorm-2019] equation 4.
    """
    fits = features.shape[-1] * 4 <= WIDEST_ROW_BYTES and features.dtype != torch.float64
    if fits and features.numel() and features.is_cuda and find_spec("triton"):
        from a2_systems.kernels.rms_norm_triton import TritonRMSNorm

        return TritonRMSNorm.apply(features, weight, eps)  # type: ignore[no-any-return]
    return plain_rms_norm(features, weight, eps)


def plain_rms_norm(
    features: Float[Tensor, "... d_model"], weight: Float[Tensor, "d_model"], eps: float
) -> Float[Tensor, "... d_model"]:
    """The clear version and the fallback; in float32 at least, since squares of half-precision numbers overflow."""
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return (normed * weight).to(features.dtype)
