"""FlashAttention as a Triton kernel: that one is launched, over a grid, and does the work."""

from tests.a2_systems.flash_cases import TRITON, flash, qkv
from tests.harness.explain import expect
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
