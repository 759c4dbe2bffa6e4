"""From logits to losses and, in the logits' own memory, to their gradient: one kernel, one program for each row.

The program reads its row twice: first for the largest logit and the sum of exponentials below it, carried along
together, then for the gradient. The second reading comes from cache: a row of 50,257 logits in bfloat16 is 100 KB.
torch's operations would read and write the whole chunk six times and hold it in float32 as well.

Source: [liger-2024] section 3.2 for the fusion; [online-softmax-2018] algorithm 3 for the single pass.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from a2_systems.kernels.flash_triton_tiles import INTERPRETED, LN_2, LOG2_E, jit, rounded

WIDEST_BLOCK = (
    64 if INTERPRETED else 4_096
)  # logits in registers at once; tests should see several blocks to a row


def losses_in_place(
    logits: Float[Tensor, "rows vocab"], targets: Int[Tensor, "rows"], wants_gradient: bool
) -> Float[Tensor, "rows"]:
    """The loss of each row, in nats, in float32; `logits` become softmax - onehot where a gradient is wanted.

    A row may be followed by padding in memory. A target outside the vocabulary gives a loss that is no number.
    """
    losses = torch.empty(len(logits), device=logits.device, dtype=torch.float32)
    block = min(WIDEST_BLOCK, triton.next_power_of_2(logits.shape[1]))
    _loss_kernel[(len(logits),)](
        logits,
        targets,
        losses,
        logits.stride(0),
        VOCAB=logits.shape[1],
        BLOCK=block,
        WANTS_GRADIENT=wants_gradient,
        num_warps=max(1, min(8, block // 256)),
    )
    return losses


@jit
def _loss_kernel(logits, targets, losses, row_stride, VOCAB: tl.constexpr, BLOCK: tl.constexpr,
                 WANTS_GRADIENT: tl.constexpr):  # fmt: skip
    WHOLE: tl.constexpr = (
        VOCAB // BLOCK * BLOCK
    )  # without a mask, of an odd size most often, loads are eight wide
    row = tl.program_id(0)
    start = logits + row.to(tl.int64) * row_stride
    target = tl.load(targets + row)
    # Read before anything is written: later another warp of this program may have put the gradient in its place.
    is_known = (target >= 0) & (target < VOCAB)
    at_target = tl.load(start + target, mask=is_known, other=float("nan")).to(tl.float32)
    columns = tl.arange(0, BLOCK)
    # One running maximum and sum for each place of the block; the block's are put together once, at the end.
    largest = tl.full([BLOCK], float("-inf"), tl.float32)
    sums = tl.zeros([BLOCK], tl.float32)
    for first in range(0, WHOLE, BLOCK):
        largest, sums = _counted(largest, sums, tl.load(start + first + columns))
    if WHOLE < VOCAB:
        rest = tl.load(start + WHOLE + columns, mask=WHOLE + columns < VOCAB, other=float("-inf"))
        largest, sums = _counted(largest, sums, rest)
    top = tl.max(largest, 0)
    log2_sum = top + tl.math.log2(tl.sum(sums * tl.math.exp2(largest - top), 0))
    tl.store(losses + row, log2_sum * LN_2 - at_target)
    if WANTS_GRADIENT:
        for first in range(0, WHOLE, BLOCK):
            places = first + columns
            gradient = _gradient(tl.load(start + places), log2_sum, places == target)
            tl.store(start + places, rounded(gradient, logits.dtype.element_ty))
        if WHOLE < VOCAB:
            places = WHOLE + columns
            is_inside = places < VOCAB
            scores = tl.load(start + places, mask=is_inside, other=0.0)
            gradient = _gradient(scores, log2_sum, places == target)
            tl.store(start + places, rounded(gradient, logits.dtype.element_ty), mask=is_inside)


@jit
def _counted(largest, sums, logits):
    """The running maxima, in units of log2, and sums with one more block of logits."""
    scores = logits.to(tl.float32) * LOG2_E
    higher = tl.maximum(largest, scores)
    reference = tl.where(higher == float("-inf"), 0.0, higher)  # nothing yet: -inf minus -inf is no number
    return higher, sums * tl.math.exp2(largest - reference) + tl.math.exp2(scores - reference)


@jit
def _gradient(logits, log2_sum, is_target):
    return tl.math.exp2(logits.to(tl.float32) * LOG2_E - log2_sum) - tl.where(is_target, 1.0, 0.0)
