"""Does a result teach the weights that it was made from? The right numbers alone do not say.

An implementation may compute with the very tensors it was given, or load them into parameters of its own, as a module
does, and in a layout of its own. So the leaves of the result's autograd graph are looked up, and matched with the
weights by identity or by value. Leaves that match none (joined projections, permuted rows) are held against the
weights that match none by the joint length of their gradients, which no reordering changes.
"""

import math
from typing import Any

import numpy as np
import torch

from tests.harness.explain import expect, expect_close

WHY = (
    "with detach(), .data, .item(), a copy through numpy or torch.no_grad() on the way, the numbers are right and the "
    "weights never learn"
)


def leaves_of(result: torch.Tensor) -> list[torch.Tensor]:
    """The tensors that a backward pass from `result` would give a gradient."""
    found: dict[int, torch.Tensor] = {}
    if result.grad_fn is None:
        return [result] if result.requires_grad else []
    seen, waiting = set(), [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, torch.Tensor):
            found[id(variable)] = variable
        waiting += [parent for parent, _ in node.next_functions if parent is not None]
    return list(found.values())


def expect_learning(
    result: Any,
    slope: torch.Tensor,
    weights: dict[str, torch.Tensor],
    want: dict[str, np.ndarray],
    *,
    atol: float,
    case: str,
) -> None:
    """Fail with a lesson unless the gradients of (result * slope).sum() in the weights are `want`.

    Raises:
        Lesson: the result has no gradient, or a weight gets none, or a wrong one.
    """
    leaves = leaves_of(result) if isinstance(result, torch.Tensor) else []
    expect(
        bool(leaves),
        what="the result is differentiable with respect to the weights",
        why=WHY,
        counterexample="the weights require a gradient, the result has none",
        case=case,
    )
    found = torch.autograd.grad((result * slope).sum(), leaves, allow_unused=True)
    gradients = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)]
    free = dict(enumerate(leaves))
    unmatched = []
    for name, weight in weights.items():
        place = next((i for i, leaf in free.items() if leaf is weight), None)
        if place is None:
            place = next((i for i, leaf in free.items() if _holds(leaf, weight)), None)
        if place is None:
            unmatched.append(name)
            continue
        gradient = gradients[place] if leaves[place].shape == weight.shape else gradients[place].T
        del free[place]
        expect_close(
            gradient,
            want[name],
            what=f"the gradient of {name} is the slope of the function",
            why=WHY,
            atol=atol,
            rtol=1e-3,
            case=case,
        )
    if not unmatched:
        return
    missing = ", ".join(unmatched)
    expect(
        bool(free),
        what="every weight gets a gradient",
        why=WHY,
        counterexample=f"no gradient reaches {missing}",
        case=case,
    )
    expect_close(
        math.sqrt(sum(float(gradients[i].double().square().sum()) for i in free)),
        math.sqrt(sum(float(np.square(want[name]).sum()) for name in unmatched)),
        what=f"the gradients of {missing}, taken together, have the length of the function's slope",
        why=WHY,
        atol=atol,
        rtol=1e-3,
        case=case,
    )


def _holds(leaf: torch.Tensor, weight: torch.Tensor) -> bool:
    """True for a copy of the weight, in any precision that keeps its numbers, as it is or transposed."""
    with torch.no_grad():
        for view in (leaf, leaf.T) if leaf.dim() == 2 else (leaf,):
            if view.shape == weight.shape and bool((view.double() == weight.double()).all()):
                return True
    return False
