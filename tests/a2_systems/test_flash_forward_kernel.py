"""FlashAttention as a Triton kernel: that one is launched, over a grid, and does the work."""

import torch

from tests.a2_systems.flash_cases import TRITON, flash, qkv
from tests.harness.explain import expect, expect_equal
from tests.harness.launches import Launches

# What attention is made of, by the names that torch's operations have inside.
WORK = {"mm", "bmm", "addmm", "baddbmm", "dot", "mv", "exp", "exp_", "exp2", "_softmax", "logsumexp"}


@TRITON
def test_a_kernel_is_launched_and_does_the_work(adapters):
    batch, length = 3, 160
    tensors = [t.requires_grad_() for t in qkv((batch,), length, length, 16, kind="triton", seed=1)]
    function = flash(adapters, "triton")
    with Launches() as launches:
        function.apply(*tensors, True)
    expect(
        len(launches.programs) > 0,
        what="the Triton class launches a Triton kernel in forward",
        why="a class that computes in torch has the right numbers and none of the speed",
        counterexample="no kernel was launched between apply and its return",
    )
    expect(
        max(launches.programs, default=0) > batch,
        what="the kernel's grid has a program for each tile of queries of each batch element",
        why="a GPU has over a hundred processors; a loop over tiles of queries in the kernel keeps most of them idle",
        counterexample=f"grids of {launches.programs} programs for {batch} sequences of {length} tokens",
    )
    did = sorted(WORK & launches.operations)
    expect(
        not did,
        what="scores, exponentials and products are computed in the kernel, none by torch around it",
        why="what torch computes goes through memory, which is what the kernel is there to avoid",
        counterexample=f"torch ran {', '.join(did)}",
    )


@TRITON
def test_tiles_beyond_the_diagonal_are_not_visited(adapters):
    # Queries of the first tiles, and values that begin 256 later: in tiles of up to 256 x 256, none with one
    # of these queries needs such a value. Masked, its weight is 0, and 0 times NaN is NaN.
    q, k, v = qkv((1,), 320, 320, 16, kind="triton", seed=2)
    spoiled = v.clone()
    spoiled[:, 256:] = torch.nan
    function = flash(adapters, "triton")
    got, wanted = (function.apply(q, k, values, True)[:, :64] for values in (spoiled, v))
    expect_equal(
        got.nan_to_num(nan=1e9),
        wanted,
        what="tiles of keys that lie wholly beyond the diagonal are not visited by the kernel",
        why="a mask gives them weights of 0 and leaves the work: half of a long text's attention is for nothing",
        case="causal, 320 tokens, NaN in the values from 256 on; queries 0 to 63",
    )
