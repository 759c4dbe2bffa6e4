"""FlashAttention forward: no matrix of scores, neither for a moment nor for backward."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.a2_systems.flash_cases import KINDS, flash, qkv
from tests.harness.explain import expect

LENGTH, WIDTH = 512, 16
# Tiles of up to 256 x 256 are fair; the matrix has four times as many elements.
MOST = 256 * 256


class Largest(TorchDispatchMode):
    """The largest tensor that any operation made, in elements, and by which operation."""

    def __init__(self):
        super().__init__()
        self.elements, self.operation = 0, ""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for part in made if isinstance(made, (list, tuple)) else [made]:
            if isinstance(part, torch.Tensor) and part.numel() > self.elements:
                self.elements, self.operation = part.numel(), func.name()
        return made


@pytest.mark.parametrize("is_causal", [False, True], ids=["all", "causal"])
def test_no_matrix_of_scores(adapters, is_causal):
    tensors = [tensor.requires_grad_() for tensor in qkv((1,), LENGTH, LENGTH, WIDTH, seed=1)]
    function = flash(adapters, "pytorch")
    with Largest() as largest:
        function.apply(*tensors, is_causal)
    expect(
        largest.elements <= MOST,
        what="no tensor of forward is larger than a tile: scores of a few rows and columns at a time",
        why="the matrix of scores is what FlashAttention does without; at length 65,536 it has 4 billion elements for "
        "each head",
        counterexample=f"{largest.operation} made a tensor of {largest.elements:,} elements, allowed {MOST:,}",
        case=f"Q, K, V (1, {LENGTH}, {WIDTH}), is_causal={is_causal}: the matrix has {LENGTH**2:,} elements",
    )


@KINDS
def test_little_is_kept_for_backward(adapters, kind):
    length = LENGTH if kind == "pytorch" else 160  # the interpreter is slow, and here too a matrix would show
    tensors = [tensor.requires_grad_() for tensor in qkv((1,), length, length, WIDTH, kind=kind, seed=2)]
    kept = []

    def note(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = flash(adapters, kind).apply(*tensors, True)
    kept += [value.numel() for value in vars(out.grad_fn).values() if isinstance(value, torch.Tensor)]
    needed = 4 * length * WIDTH + length
    expect(
        sum(kept) <= 2 * needed,
        what="what is kept for backward is Q, K, V, the result and the log-sum-exp (or as much again, for copies)",
        why="a matrix of weights that waits for backward is the memory that long contexts run out of",
        counterexample=f"kept {sum(kept):,} elements; Q, K, V, O and L have {needed:,}",
        case=f"Q, K, V (1, {length}, {WIDTH}), {kind}",
    )
