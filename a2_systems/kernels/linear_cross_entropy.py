"""The loss of a language model's last layer without its logits.

Logits are the largest tensor of a small model's training: tokens x vocabulary, several times over (logits, their
softmax, its gradient). Here rows go through in chunks: logits of a chunk, their loss, their gradient at once, and both
products of that gradient; then the chunk's memory is used again. What remains are the gradients of features and
weight, which backward only scales. The work is the same as that of the plain version: nothing is computed twice.

On a GPU loss and gradient of a chunk are one kernel (`linear_cross_entropy_triton`), elsewhere torch's operations.
"""

from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

CHUNK_BYTES = 64 * 1024 * 1024
"""Of float32 logits at once on a CPU: large enough to keep the matrix products efficient."""
GPU_CHUNK_ROWS = 8_192
"""On a GPU a product of fewer rows leaves multiprocessors idle, and each chunk adds once to the weight's gradient."""
ALIGNED = 64
"""A vocabulary of odd size would put every second row of logits where neither a product nor the kernel reads fast."""


def plain_linear_cross_entropy(
    features: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "..."],
) -> Float[Tensor, ""]:
    """The clear version: all logits, then the mean loss, in nats per token."""
    logits = features @ weight.T
    return F.cross_entropy(logits.flatten(0, -2).float() if logits.dtype.itemsize < 4 else logits.flatten(0, -2),
                           targets.flatten())  # fmt: skip


def linear_cross_entropy(
    features: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "..."],
    chunk_rows: int | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of `features @ weight.T` against `targets`, never holding more than `chunk_rows` of logits.

    Raises:
        ValueError: no rows, or shapes that do not go together.
    """
    if features.shape[:-1] != targets.shape or features.shape[-1] != weight.shape[1] or not targets.numel():
        raise ValueError(
            f"got features {tuple(features.shape)}, weight {tuple(weight.shape)}, targets {tuple(targets.shape)}; "
            "wanted (..., d_model), (vocab, d_model) and (...), at least one target"
        )
    if chunk_rows is None:
        on_cpu = max(1, CHUNK_BYTES // (4 * weight.shape[0]))
        chunk_rows = max(GPU_CHUNK_ROWS, on_cpu) if features.is_cuda else on_cpu
    return _LinearCrossEntropy.apply(features, weight, targets, chunk_rows, torch.is_grad_enabled())


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, targets: Tensor, chunk_rows: int, is_training: bool
    ) -> Tensor:
        device = features.device.type
        dtype = torch.promote_types(features.dtype, weight.dtype)
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            loss, of_features, of_weight = _chunk_by_chunk(
                features.reshape(-1, features.shape[-1]),
                weight.to(dtype),
                targets.flatten().long(),
                chunk_rows,
                is_training and ctx.needs_input_grad[0],
                is_training and ctx.needs_input_grad[1],
            )
        if of_features is not None:
            of_features = of_features.view(features.shape)
        ctx.num_rows, ctx.dtypes = targets.numel(), (features.dtype, weight.dtype)
        ctx.save_for_backward(of_features, of_weight)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # What was kept belongs to the sum of all losses: a mean's would be too small for float16. The sum over rows may
        # be too large for it, so it is kept wide and only the mean is rounded; the factor itself is 0 in float16 too.
        scale = gradients[0] / ctx.num_rows
        of_features, of_weight = (
            None
            if kept is None
            else (kept.to(torch.promote_types(kept.dtype, scale.dtype)) * scale).to(dtype)
            for kept, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return of_features, of_weight, None, None, None


def _chunk_by_chunk(
    features: Tensor, weight: Tensor, targets: Tensor, chunk_rows: int, has_features: bool, has_weight: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The mean loss and, where wanted, the gradients of the sum of losses; that of the weight in float32 at least."""
    wide = torch.promote_types(weight.dtype, torch.float32)
    loss = torch.zeros((), device=features.device, dtype=wide)
    of_features = torch.empty_like(features) if has_features else None
    # Half-precision chunks would lose small contributions to a running sum: it is kept wide.
    of_weight = torch.zeros_like(weight, dtype=wide) if has_weight else None
    wants_gradient = has_features or has_weight
    make = _by_kernel if _has_kernel(features, wide) else _by_operations
    buffer = weight.new_empty(min(chunk_rows, len(features)), -(-len(weight) // ALIGNED) * ALIGNED)
    for start in range(0, len(features), chunk_rows):
        rows = features[start : start + chunk_rows].to(weight.dtype)
        logits = torch.mm(rows, weight.T, out=buffer[: len(rows), : len(weight)])
        chunk_loss, gradient = make(logits, targets[start : start + chunk_rows], wants_gradient)
        loss += chunk_loss
        if of_features is not None:
            of_features[start : start + chunk_rows] = gradient @ weight
        if of_weight is not None:
            of_weight += _sum_over_rows(gradient, rows, wide)
    return loss / len(features), of_features, of_weight


def _has_kernel(features: Tensor, wide: torch.dtype) -> bool:
    return features.is_cuda and wide == torch.float32 and find_spec("triton") is not None


def _by_kernel(logits: Tensor, labels: Tensor, wants_gradient: bool) -> tuple[Tensor, Tensor]:
    """The summed loss; the logits have become their gradient."""
    from a2_systems.kernels.linear_cross_entropy_triton import losses_in_place

    return losses_in_place(logits, labels, wants_gradient).sum(), logits


def _by_operations(logits: Tensor, labels: Tensor, wants_gradient: bool) -> tuple[Tensor, Tensor]:
    """The same, one operation at a time."""
    scores, labels = logits.to(torch.promote_types(logits.dtype, torch.float32)), labels[:, None]
    log_sums = torch.logsumexp(scores, dim=1, keepdim=True)
    loss = (log_sums - scores.gather(1, labels)).sum()
    if not wants_gradient:
        return loss, logits
    # softmax(logits) - one at the label, in the scores' own memory
    gradient = scores.sub_(log_sums).exp_()
    gradient.scatter_add_(1, labels, torch.full_like(log_sums, -1.0))
    return loss, gradient.to(logits.dtype)


def _sum_over_rows(gradient: Tensor, rows: Tensor, wide: torch.dtype) -> Tensor:
    """`gradient^T rows`: over the thousands of rows of a chunk, a sum too large for float16."""
    if gradient.is_cuda and gradient.dtype != wide:
        return torch.mm(gradient.T, rows, out_dtype=wide)
    if gradient.dtype == torch.float16:  # a CPU has no half-precision product with a wide result
        return gradient.T.to(wide) @ rows.to(wide)
    return gradient.T @ rows
