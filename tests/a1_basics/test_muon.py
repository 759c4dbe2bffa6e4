"""Muon: what Newton-Schulz does to singular values, and what a step does to weights; a float64 oracle by SVD."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import ladder as oracle

# float32: five rounds of three matrix products. Each round multiplies the errors of small singular values by up to
# 3.4445, five rounds by 485: 485 times a few roundings of 6e-8. bfloat16 would be off by 1e-2 and more.
ATOL = 3e-4
# What the five rounds make of singular values between 0.003 and 1 of the matrix's norm.
BAND = (0.67, 1.21)

SHAPES = pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6), (1, 9), (9, 1), (1, 1)], ids=str)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def orthogonal(size: int, seed: int = 0) -> torch.Tensor:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    return torch.from_numpy(q.astype(np.float32))


def stretched(shape: tuple[int, int], condition: float, seed: int = 0) -> torch.Tensor:
    """A random matrix whose singular values fall from 1 to 1 / condition."""
    values = np.geomspace(1, 1 / condition, min(shape))
    left, right = orthogonal(shape[0], seed).double().numpy(), orthogonal(shape[1], seed + 1).double().numpy()
    return torch.from_numpy((left[:, : len(values)] * values @ right[: len(values)]).astype(np.float32))


def newton_schulz(adapters, matrix):
    # A copy goes in: that the caller's matrix stays as it was is one test's business, not everyone's.
    return adapters.run_newton_schulz(in_matrix=matrix.clone())


def walk(adapters, start, gradients, *, lr=0.02, beta=0.95, weight_decay=0.1) -> list[torch.Tensor]:
    """The weights after each step."""
    weight, momentum, after = start.clone(), torch.zeros_like(start), []
    for gradient in gradients:
        weight, momentum = adapters.run_muon_step(
            weights=weight,
            gradients=gradient.clone(),
            momentum=momentum,
            lr=lr,
            beta=beta,
            weight_decay=weight_decay,
        )
        after.append(weight.clone())
    return after


@SHAPES
def test_each_singular_value_goes_through_the_quintic(adapters, shape):
    matrix = numbers(*shape, seed=1)
    expect_close(
        newton_schulz(adapters, matrix),
        oracle.newton_schulz(matrix.numpy()),
        what="the result is U p(S / |S|) V^T: the matrix's own singular vectors, its values over the root of the "
        "sum of their squares, five times through p(s) = 3.4445 s - 4.7750 s^3 + 2.0315 s^5",
        why="any other function of the matrix turns the step into another direction",
        atol=ATOL,
        case=f"a random matrix of shape {shape}; wanted by a singular value decomposition in float64",
    )


@pytest.mark.parametrize("condition", [1.0, 10.0, 60.0])
@pytest.mark.parametrize("shape", [(12, 12), (8, 30), (30, 8)], ids=str)
def test_all_singular_values_come_near_one(adapters, shape, condition):
    got = newton_schulz(adapters, stretched(shape, condition, seed=2))
    values = np.linalg.svd(got.double().numpy(), compute_uv=False)
    expect(
        bool(values.min() > BAND[0] and values.max() < BAND[1]),
        what=f"singular values that differ sixty-fold all end between {BAND[0]} and {BAND[1]}",
        why="this is what Muon is: directions that gradients seldom show are learned as fast as the common ones. Fewer "
        "rounds, or a division by the largest entry, leave the small ones small",
        counterexample=f"they end between {values.min():.3f} and {values.max():.3f}",
        case=f"shape {shape}, singular values from 1 down to {1 / condition:.3g}",
    )


@pytest.mark.parametrize("factor", [1e-6, 1e6, -1.0], ids=lambda factor: f"times {factor:g}")
def test_the_size_of_the_matrix_falls_out(adapters, factor):
    matrix = numbers(6, 9, seed=3)
    expect_close(
        newton_schulz(adapters, factor * matrix),
        math.copysign(1, factor) * newton_schulz(adapters, matrix).double(),
        what="a multiple of the matrix gives the same, with its sign",
        why="gradients of every size make steps of one size; and a polynomial of a number above one runs away",
        atol=2 * ATOL,
        case=f"shape (6, 9), times {factor:g}",
    )


def test_a_transposed_matrix_gives_the_transposed_result(adapters):
    matrix = numbers(5, 12, seed=4)
    expect_close(
        newton_schulz(adapters, matrix.T.contiguous()),
        newton_schulz(adapters, matrix).T,
        what="tall or wide, the result is the same, transposed",
        why="a tall matrix is worked on as its transpose, to have the smaller product; one that is not turned "
        "back fits only where it is square",
        atol=2 * ATOL,
        case="shapes (5, 12) and (12, 5)",
    )


def test_turned_matrices_give_turned_results(adapters):
    matrix, left, right = numbers(7, 7, seed=5), orthogonal(7, seed=6), orthogonal(7, seed=8)
    expect_close(
        newton_schulz(adapters, left @ matrix @ right),
        left.double() @ newton_schulz(adapters, matrix).double() @ right.double(),
        what="a rotation before is the same rotation after: no coordinate is special",
        why="it is what sets Muon apart from Adam, which looks at each number alone",
        atol=4 * ATOL,  # both sides are computed, and the rotated matrix is rounded
        case="shape (7, 7)",
    )


def test_a_matrix_of_zeros_stays_zero(adapters):
    expect_close(
        newton_schulz(adapters, torch.zeros(4, 6)),
        torch.zeros(4, 6),
        what="zeros stay zeros",
        why="a matrix that a batch does not use has no gradient, and 0/0 is NaN",
        atol=0.0,
        case="shape (4, 6)",
    )


@SHAPES
def test_first_step(adapters, shape):
    start, gradient = numbers(*shape, seed=9), numbers(*shape, seed=10)
    after = walk(adapters, start, [gradient], weight_decay=0.0)[0]
    expect_close(
        (start.double() - after.double()) / 0.02,
        0.2 * math.sqrt(max(shape)) * oracle.newton_schulz(gradient.numpy()),
        what="from a momentum of zeros, W moves by -lr * 0.2 sqrt(max(d_out, d_in)) NS(gradient)",
        why="an orthogonal matrix has a root mean square of 1 / sqrt(max(d_out, d_in)): with this factor a step "
        "has the size of one of AdamW's, and one learning rate serves both",
        atol=1e-4
        + 0.2 * math.sqrt(max(shape)) * ATOL,  # the difference of two weights of size up to 4, over 0.02
        case=f"shape {shape}, lr=0.02, no weight decay",
    )


@pytest.mark.parametrize("shape", [(16, 16), (8, 64), (64, 8)], ids=str)
def test_the_size_of_a_step(adapters, shape):
    start = torch.zeros(shape)
    after = walk(adapters, start, [1000 * stretched(shape, 20.0, seed=11)], lr=1.0, weight_decay=0.0)[0]
    size = float(after.double().square().mean().sqrt())
    expect(
        0.2 * BAND[0] < size < 0.2 * BAND[1],
        what="the root mean square of a step is near 0.2 lr, whatever the shape and the size of the gradient",
        why="with another factor wide matrices learn at another pace than square ones",
        counterexample=f"got {size:.4f}, wanted between {0.2 * BAND[0]:.3f} and {0.2 * BAND[1]:.3f}",
        case=f"shape {shape}, lr=1",
    )


def test_momentum_looks_ahead(adapters):
    start = numbers(5, 8, seed=12)
    gradients = [numbers(5, 8, seed=20 + i) for i in range(6)]
    got = walk(adapters, start, gradients, beta=0.8)
    for step, (have, wanted) in enumerate(
        zip(
            got, oracle.muon_path(start.numpy(), [g.numpy() for g in gradients], 0.02, 0.8, 0.1), strict=True
        ),
        1,
    ):
        expect_close(
            have,
            wanted,
            what="momentum m = beta m + (1 - beta) g; the step is that of beta m + (1 - beta) g, with the new m",
            why="without momentum each batch pulls its own way; without the look ahead the step lags by one gradient",
            atol=2e-5 * step,  # steps of 0.02 * 0.57 * NS, whose error ATOL they scale down, summed
            case=f"shape (5, 8), six random gradients, lr=0.02, beta=0.8, weight_decay=0.1, step {step}",
        )


def test_without_a_gradient_only_decay_is_left(adapters):
    start = numbers(4, 6, seed=13)
    expect_close(
        walk(adapters, start, [torch.zeros(4, 6)], lr=0.1, weight_decay=0.5)[0],
        0.95 * start.double(),
        what="weights shrink by lr * weight_decay of themselves, beside the step and not inside of it",
        why="decay added to the gradient has its size taken out with the gradient's",
        atol=1e-6,
        case="a gradient of zeros, lr=0.1, weight_decay=0.5: 0.95 of every weight",
    )


def test_decay_does_not_change_the_direction(adapters):
    start, gradient = 5 * numbers(6, 6, seed=14), numbers(6, 6, seed=15)
    without = walk(adapters, start, [gradient], weight_decay=0.0)[0]
    expect_close(
        walk(adapters, start, [gradient], weight_decay=0.3)[0].double() - without.double(),
        -0.02 * 0.3 * start.double(),
        what="with decay the weights end where they would without, less lr * weight_decay of what they were",
        why="of weights that have moved already it is another amount, and inside of the momentum another direction",
        atol=2e-6,
        case="shape (6, 6), lr=0.02, weight_decay=0.3",
    )


def test_steps_are_apart(adapters):
    start, gradients = numbers(4, 4, seed=16), [numbers(4, 4, seed=30 + i) for i in range(3)]
    expect_equal(
        walk(adapters, start, gradients)[-1],
        walk(adapters, start, gradients)[-1],
        what="the same start and the same gradients end at the same weights: all that is kept is handed back",
        why="a momentum kept between calls belongs to the first matrix that came, and is in no checkpoint",
        case="three steps, twice",
    )


def test_arguments_are_left_alone(adapters):
    given = {
        "weights": numbers(4, 5, seed=17),
        "gradients": numbers(4, 5, seed=18),
        "momentum": torch.zeros(4, 5),
    }
    before = {name: tensor.clone() for name, tensor in given.items()}
    adapters.run_muon_step(**given, lr=0.1, beta=0.9, weight_decay=0.1)
    adapters.run_newton_schulz(in_matrix=given["gradients"])
    for name, tensor in given.items():
        expect_equal(
            tensor,
            before[name],
            what=f"{name} is not changed in place",
            why="these are functions: new weights and a new momentum are what they return",
        )
