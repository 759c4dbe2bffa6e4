"""Gradient clipping: one norm over all gradients, one factor for all of them, in place; small ones untouched.

The public assignment adds 1e-6 to the norm it divides by; torch does too. Implementations without it pass.
"""

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal

# The eps of 1e-6 under the fraction, at the smallest norm used here (0.5), and rounding of float32.
RTOL = 1e-5


def gradient(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def parameter(grad, dtype=torch.float32) -> torch.nn.Parameter:
    """A parameter whose gradient is `grad` (None: it has none)."""
    shape = (3,) if grad is None else np.shape(grad)
    p = torch.nn.Parameter(torch.full(shape, 7.0, dtype=dtype))
    p.grad = None if grad is None else torch.tensor(np.array(grad), dtype=dtype)
    return p


def gradients_of(parameters) -> list[np.ndarray]:
    return [p.grad.detach().double().numpy().copy() for p in parameters if p.grad is not None]


def norm_of(gradients) -> float:
    return float(np.sqrt(sum((g**2).sum() for g in gradients)))


def clip(adapters, parameters, bound: float) -> None:
    adapters.run_gradient_clipping(parameters, bound)


@pytest.mark.parametrize("bound", [0.5, 3.0])
def test_joint_norm_falls_to_the_bound(adapters, bound):
    parameters = [
        parameter(gradient(*shape, seed=i)) for i, shape in enumerate([(4, 3), (5,), (), (2, 2, 2)])
    ]
    before = norm_of(gradients_of(parameters))
    clip(adapters, parameters, bound)
    expect_close(
        norm_of(gradients_of(parameters)),
        bound,
        what="gradients whose joint L2 norm exceeds max_l2_norm are scaled so that it becomes max_l2_norm",
        why="one bad batch may otherwise move the weights so far that hundreds of steps are lost",
        rtol=RTOL,
        atol=0.0,
        case=f"gradients of shapes (4, 3), (5,), (), (2, 2, 2) with joint norm {before:.3f}, bound {bound}",
    )


def test_direction_is_kept(adapters):
    parameters = [parameter([3.0, 0.0]), parameter([[0.0], [-4.0]]), parameter([0.003])]
    clip(adapters, parameters, 1.0)
    expect_close(
        np.concatenate([g.ravel() for g in gradients_of(parameters)]),
        [0.6, 0.0, 0.0, -0.8, 0.0006],
        what="every gradient of every parameter is multiplied by the same factor",
        why="the step keeps its direction and only becomes shorter; clipping each tensor, or each number, by "
        "itself turns it",
        rtol=RTOL,
        atol=1e-9,
        case="gradients (3, 0), ((0), (-4)) and (0.003), joint norm 5, bound 1",
    )


@pytest.mark.parametrize("size", [1e-6, 0.1, 0.999])
def test_small_gradients_are_left_alone(adapters, size):
    grads = [gradient(3, 2, seed=1), gradient(4, seed=2)]
    grads = [g * size / norm_of(grads) for g in grads]
    parameters = [parameter(g, torch.float64) for g in grads]
    before = gradients_of(parameters)
    clip(adapters, parameters, 1.0)
    expect_equal(
        gradients_of(parameters),
        before,
        what="gradients whose joint norm lies below the bound do not change, in the last digit",
        why="near a minimum gradients are small: scaled up to the bound they make every step a large one, and "
        "training never settles",
        case=f"joint norm {size:g}, bound 1",
    )


def test_gradients_are_edited_in_place(adapters):
    flat = torch.tensor([0.0, 3.0, 4.0, 0.0])
    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = flat[1:3]
    before, address = p.grad, p.grad.data_ptr()
    clip(adapters, [p], 1.0)
    expect(
        p.grad is before and p.grad.data_ptr() == address,
        what="p.grad stays the same tensor at the same address",
        why="gradient buckets of data parallelism, fused optimizers and accumulation hold that memory; a new "
        "tensor in its place leaves them with the unclipped values",
        counterexample="p.grad is another tensor after clipping"
        if p.grad is not before
        else "p.grad has new memory after clipping",
    )
    expect_close(
        flat,
        [0.0, 0.6, 0.8, 0.0],
        what="the clipped values stand in the memory of p.grad, and nothing beside it changes",
        why="p.grad may be a view into one flat buffer of all gradients",
        rtol=RTOL,
        atol=1e-9,
        case="p.grad is a view of (0, 3, 4, 0) from 1 to 3, bound 1",
    )


def test_a_generator_of_parameters_will_do(adapters):
    model = torch.nn.Linear(2, 2)
    for p in model.parameters():
        p.grad = torch.ones_like(p) * 5
    clip(adapters, model.parameters(), 1.0)
    expect_close(
        norm_of(gradients_of(model.parameters())),
        1.0,
        what="model.parameters() is a generator and works as any list",
        why="iterated twice, it is empty the second time: the norm is measured and nothing is scaled, without "
        "an error",
        rtol=RTOL,
        atol=0.0,
        case="a 2 x 2 linear layer with all gradients 5 (joint norm 12.2), bound 1",
    )


def test_parameters_without_gradient_are_skipped(adapters):
    frozen = parameter(None)
    frozen.requires_grad_(False)
    unused, live = parameter(None), parameter([6.0, 8.0])
    clip(adapters, [frozen, unused, live], 5.0)
    expect_close(
        live.grad,
        [3.0, 4.0],
        what="a parameter whose .grad is None has no part in the norm",
        why="frozen layers, and layers that a batch did not use, have no gradient",
        rtol=RTOL,
        atol=0.0,
        case="one frozen parameter, one without a gradient, one with (6, 8); bound 5",
    )
    expect(
        frozen.grad is None and unused.grad is None,
        what="a missing gradient stays missing",
        why="AdamW moves a parameter whose gradient is 0 (momentum, decay) and leaves one alone whose gradient "
        "is None",
        counterexample=f"got {frozen.grad!r} and {unused.grad!r}",
    )


@pytest.mark.parametrize("which", ["none at all", "without gradients", "zero gradients"])
def test_nothing_to_clip_is_no_error(adapters, which):
    parameters = {
        "none at all": [],
        "without gradients": [parameter(None)],
        "zero gradients": [parameter([0.0, 0.0]), parameter([[0.0]])],
    }[which]
    clip(adapters, parameters, 1.0)
    expect_equal(
        [g.tolist() for g in gradients_of(parameters)],
        [[0.0, 0.0], [[0.0]]] if which == "zero gradients" else [],
        what="nothing to clip changes nothing",
        why="0/0 puts NaN into every weight at the next step",
        case=f"parameters: {which}",
    )


def test_weights_are_not_touched(adapters):
    p = parameter([30.0, 40.0])
    clip(adapters, [p], 1.0)
    expect_equal(
        p.detach().tolist(),
        [7.0, 7.0],
        what="clipping changes gradients, not parameters",
        why="the optimizer alone moves the weights",
        case="a parameter of value (7, 7) with gradient (30, 40), bound 1",
    )
    expect_close(
        p.grad,
        [0.6, 0.8],
        what="the norm is that of the gradients, whatever the parameters are",
        why="the bound is a bound on the step",
        rtol=RTOL,
        atol=0.0,
        case="a parameter of value (7, 7) with gradient (30, 40), bound 1",
    )


def test_bound_may_change_between_calls(adapters):
    p = parameter([3.0, 4.0], torch.float64)
    got = []
    for bound in (4.0, 2.0, 3.0):
        clip(adapters, [p], bound)
        got.append(norm_of(gradients_of([p])))
    expect_close(
        got,
        [4.0, 2.0, 2.0],
        what="each call clips to its own bound, and clipping again to a higher one does nothing",
        why="the function remembers nothing; bounds are lowered when a run becomes unstable",
        rtol=RTOL,
        atol=0.0,
        case="gradient (3, 4), bounds 4, 2, 3 one after the other",
    )


@pytest.mark.parametrize(
    ("dtype", "value", "count"), [(torch.float16, 300.0, 4), (torch.bfloat16, 1.0, 4096)], ids=str
)
def test_narrow_gradients_have_an_exact_norm(adapters, dtype, value, count):
    p, wide = parameter([value] * count, dtype), parameter([3.0], torch.float32)
    true = float(np.sqrt(count * value**2 + 9))
    clip(adapters, [p, wide], true / 4)
    expect_close(
        [float(p.grad[0]), float(wide.grad[0])],
        [value / 4, 0.75],
        what="the squares of float16 and bfloat16 gradients are summed in float32 or better",
        why="300 squared is infinite in float16, and a sum of ones in bfloat16 stops at 256: the factor "
        "becomes 0, or far too large",
        rtol=0.01,  # bfloat16 keeps 8 bits
        atol=0.0,
        case=f"{count} gradients of {value:g} in {dtype} beside one of 3 in float32, joint norm {true:.1f}, "
        f"bound a quarter of it",
    )
    expect_equal(
        str(p.grad.dtype),
        str(dtype),
        what="a gradient keeps its dtype",
        why="the optimizer refuses a gradient of another dtype than its parameter's",
    )


def test_many_parameters_agree_with_one_long_one(adapters):
    whole = gradient(60, seed=3)
    split = [parameter(part, torch.float64) for part in np.split(whole, [1, 7, 30])]
    one = parameter(whole, torch.float64)
    clip(adapters, split, 2.0)
    clip(adapters, [one], 2.0)
    expect_close(
        np.concatenate(gradients_of(split)),
        gradients_of([one])[0],
        what="how the numbers are divided among parameters does not matter",
        why="the norm is that of all gradients laid end to end",
        rtol=1e-9,
        atol=0.0,
        case="60 gradients as one parameter, and cut into 4; bound 2",
    )
