"""RMSNorm as one pass over memory each way.

A row fits into the registers of one program, which reads it once and writes it once. The gradient of the gain is a sum
over all rows: each backward program adds up its own share of rows in order and writes one partial sum, and the partial
sums are added at the end, so that the same input gives the same bits (atomics would not).
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from a2_systems.kernels.flash_triton_tiles import INTERPRETED, jit, rounded

PROGRAMS = (
    1_056  # eight for each of an H100's 132 multiprocessors: while one waits for its row others compute
)


class TritonRMSNorm(torch.autograd.Function):
    """`y = x r w`, `r = rsqrt(mean(x^2) + eps)`; kept for backward: x and one r for each row.

    With h the gradient of y times w and n = x r: `dx = r (h - n mean(h n))`.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, eps: float) -> Tensor:
        rows = features.reshape(-1, features.shape[-1]).contiguous()
        output = torch.empty_like(rows)
        scales = torch.empty(len(rows), device=rows.device, dtype=torch.float32)
        _forward_kernel[(len(rows),)](rows, weight.contiguous(), output, scales, eps, **_sizes(rows))
        ctx.save_for_backward(rows, weight, scales)
        return output.view(features.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, weight, scales = ctx.saved_tensors
        gradient = gradients[0]
        of_output = gradient.reshape(rows.shape).contiguous()
        of_rows = torch.empty_like(rows)
        programs = min(len(rows), 2 if INTERPRETED else PROGRAMS)
        of_weight = torch.empty(programs, rows.shape[1], device=rows.device, dtype=torch.float32)
        _backward_kernel[(programs,)](
            rows, weight.contiguous(), scales, of_output, of_rows, of_weight, len(rows), **_sizes(rows)
        )
        return of_rows.view(gradient.shape), of_weight.sum(dim=0).to(weight.dtype), None


def _sizes(rows: Tensor) -> dict[str, Any]:
    width = triton.next_power_of_2(rows.shape[1])
    return {"D_MODEL": rows.shape[1], "WIDTH": width, "num_warps": min(16, max(1, width // 512))}


@jit
def _forward_kernel(X, W, Y, R, eps, D_MODEL: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, WIDTH)
    is_inside = columns < D_MODEL
    start = row.to(tl.int64) * D_MODEL
    x = tl.load(X + start + columns, mask=is_inside, other=0.0).to(tl.float32)
    w = tl.load(W + columns, mask=is_inside, other=0.0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(x * x, 0) / D_MODEL + eps)
    tl.store(R + row, scale)
    tl.store(Y + start + columns, rounded(x * scale * w, Y.dtype.element_ty), mask=is_inside)


@jit
def _backward_kernel(X, W, R, dY, dX, dW, rows, D_MODEL: tl.constexpr, WIDTH: tl.constexpr):
    program = tl.program_id(0)
    columns = tl.arange(0, WIDTH)
    is_inside = columns < D_MODEL
    w = tl.load(W + columns, mask=is_inside, other=0.0).to(tl.float32)
    of_weight = tl.zeros([WIDTH], tl.float32)
    for row in range(program, rows, tl.num_programs(0)):
        start = tl.cast(row, tl.int64) * D_MODEL
        scale = tl.load(R + row)
        normed = tl.load(X + start + columns, mask=is_inside, other=0.0).to(tl.float32) * scale
        of_output = tl.load(dY + start + columns, mask=is_inside, other=0.0).to(tl.float32)
        of_weight += of_output * normed
        of_normed = of_output * w
        parallel = tl.sum(of_normed * normed, 0) / D_MODEL
        of_row = scale * (of_normed - normed * parallel)
        tl.store(dX + start + columns, rounded(of_row, dX.dtype.element_ty), mask=is_inside)
    tl.store(dW + program.to(tl.int64) * D_MODEL + columns, of_weight, mask=is_inside)
