"""Softmax: weights that sum to one along the dimension asked for; shifts, sizes, masks, slopes; a float64 oracle."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import layers as oracle
from tests.oracles.slopes import slopes

# Weights are at most 1; a sum of few float32 exponentials and one division round by less than 1e-6.
ATOL = 1e-6
# Per unit of the scores' size: exp(score - logsumexp) is a fair form, and rounds the logarithm by 2^-24 of it.
ATOL_FAR_OFF = 2e-7
# bfloat16 keeps 8 bits: exponential, sum and division each round a number of size up to 1 by 2^-9, and an
# implementation that works in bfloat16 throughout also rounds the shifted score, by up to 2^-7 at size 4.
ATOL_BFLOAT16 = 0.03
# Products of three weights in float32.
ATOL_SLOPE = 5e-6


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def softmax(adapters, x, dim=-1):
    # A copy goes in: that the caller's x stays as it was is one test's business, not everyone's.
    return adapters.run_softmax(x.clone(), dim=dim)


def test_weights_by_hand(adapters):
    expect_close(
        softmax(adapters, torch.tensor([0.0, math.log(3), math.log(4)])),
        [1 / 8, 3 / 8, 4 / 8],
        what="each weight is e^score over the sum of all of them",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case="scores 0, ln 3, ln 4: exponentials 1, 3, 4",
    )


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_weights_sum_to_one_along_dim(adapters, dim):
    x = numbers(3, 3, 3, seed=1) * 2
    got = softmax(adapters, x, dim)
    expect_close(
        got.double().sum(dim),
        torch.ones(3, 3),
        what="the weights sum to one along the dimension that was asked for, counted from either end",
        why="attention normalises over keys; over queries, or always over the last dimension, is another function "
        "and raises no error",
        atol=ATOL,
        case=f"x of shape (3, 3, 3), dim={dim}",
    )
    expect_close(
        got,
        oracle.softmax(x.numpy(), dim),
        what="each row along that dimension is a softmax of its own, and its weights stay where their scores stood",
        why="normalising the right rows and leaving them transposed sums to one as well",
        atol=ATOL,
        case=f"x of shape (3, 3, 3), dim={dim}",
    )


@pytest.mark.parametrize(
    ("shape", "dim"),
    [((5,), 0), ((1,), -1), ((2, 3), 0), ((2, 3), 1), ((2, 3, 4, 5), 1), ((2, 3, 4, 5), -2)],
    ids=str,
)
def test_any_shape(adapters, shape, dim):
    x = numbers(*shape, seed=2) * 3
    expect_close(
        softmax(adapters, x, dim),
        oracle.softmax(x.numpy(), dim),
        what="the shape is kept, and only dim takes part",
        why="the same function serves logits (vocab,) and scores (batch, heads, q_len, k_len)",
        atol=ATOL,
        case=f"x of shape {shape}, dim={dim}",
    )


@pytest.mark.parametrize("shift", [100.0, 1e4, -1e4], ids=lambda shift: f"{shift:g}")
def test_a_shift_of_all_scores_changes_nothing(adapters, shift):
    # Quarters, so that x + shift is exact in float32.
    x = (numbers(4, 5, seed=3) * 4).round() / 4
    expect_close(
        softmax(adapters, x + shift),
        oracle.softmax(x.numpy(), -1),
        what="the same number added to all scores leaves the weights as they are",
        why="exp(89) overflows float32, exp(-104) is 0: unshifted, large scores give infinity over infinity, and "
        "low ones 0/0",
        atol=ATOL_FAR_OFF * abs(shift) + ATOL,
        case=f"x of shape (4, 5) plus {shift:g}",
    )


def test_rows_far_apart(adapters):
    expect_close(
        softmax(adapters, torch.tensor([[1000.0, 999.0], [0.0, -1.0], [-1000.0, -1001.0]])),
        [[1 / (1 + math.exp(-1)), 1 / (1 + math.e)]] * 3,
        what="each row is shifted by its own largest score",
        why="shifted by the largest score of the whole tensor, rows 1000 below it underflow to 0/0; shifted by the "
        "smallest, the rows above it overflow",
        atol=ATOL_FAR_OFF * 1000 + ATOL,
        case="three rows, about 1000, 0 and -1000, each with a distance of 1 inside",
    )


def test_scores_far_apart_within_a_row(adapters):
    expect_close(
        softmax(adapters, torch.tensor([[-1e30, 0.0, 1e30], [0.0, -200.0, -1e4], [5.0, -1e4, 5.0]])),
        [[0, 0, 1], [1, 0, 0], [0.5, 0, 0.5]],
        what="the largest score takes all the weight when it is far above the others",
        why="a sharp attention head is such a row; clamped scores would leave some weight behind",
        atol=1e-30,
        rtol=ATOL,
        case="scores up to 1e30 apart",
    )


def test_small_weights_are_not_lost(adapters):
    scores = torch.tensor([0.0, -20.0, -60.0])
    want = oracle.softmax(scores.numpy(), -1)
    expect_close(
        softmax(adapters, scores).double() / torch.from_numpy(want),
        [1.0, 1.0, 1.0],
        what="a weight of e^-60 is right to float32's seven digits, not just small",
        why="a constant added to weights or sum, or a clamp, gives rare tokens the wrong probability: the loss is "
        "the logarithm of exactly these",
        atol=1e-5,
        case="scores 0, -20, -60; shown is each weight over the right one",
    )


def test_minus_infinity_gets_no_weight(adapters):
    scores = torch.tensor([[0.0, -math.inf, math.log(3)], [-math.inf, -1e30, -math.inf]])
    got = softmax(adapters, scores)
    expect_close(
        got,
        [[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]],
        what="scores of minus infinity leave the others their softmax",
        why="this is how masks are written: -inf times 0, or minus -inf, is NaN",
        atol=ATOL,
        case="scores (0, -inf, ln 3) and (-inf, -1e30, -inf)",
    )
    expect_equal(
        got.detach()[scores.isinf()],
        torch.zeros(3),
        what="a score of minus infinity gets a weight of exactly 0",
        why="anything above 0 leaks the future into the past",
        case="scores (0, -inf, ln 3) and (-inf, -1e30, -inf); shown are the weights of the -inf",
    )


@pytest.mark.parametrize("dim", [0, 1])
def test_gradients_equal_the_oracles_slope(adapters, dim):
    x, weight = numbers(3, 4, seed=4).requires_grad_(), numbers(3, 4, seed=5)
    got = adapters.run_softmax(x, dim=dim)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable",
        why="with detach() or no_grad inside, queries and keys never learn",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * weight).sum().backward()
    expect_close(
        x.grad,
        slopes(
            lambda at: float((oracle.softmax(at, dim) * weight.double().numpy()).sum()), x.detach().numpy()
        ),
        what="the gradient is the slope of the function",
        why="a sum that is detached on the way still gives the right weights, and learns wrongly",
        atol=ATOL_SLOPE,
        case=f"x of shape (3, 4), dim={dim}",
    )


def test_gradients_are_finite_where_weights_vanish(adapters):
    x = torch.tensor([[0.0, -1e4, 1.0], [2e4, 0.0, -2e4]], requires_grad=True)
    (adapters.run_softmax(x, dim=-1) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    half = 1 / (1 + math.e) * math.e / (1 + math.e)
    expect_close(
        x.grad,
        [[-2 * half, 0, 2 * half], [0, 0, 0]],
        what="the gradient is finite where weights are 0 or 1",
        why="one NaN in one gradient is a NaN in every weight after the next step",
        atol=ATOL_SLOPE,
        case="scores (0, -1e4, 1) and (2e4, 0, -2e4)",
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_dtype_is_kept(adapters, dtype):
    x = (numbers(4, 6, seed=6) * 2).to(dtype)
    got = softmax(adapters, x)
    expect_equal(
        str(got.dtype),
        str(dtype),
        what="the result has the dtype of the scores",
        why="the values that these weights mix are stored in that dtype and refuse another",
    )
    expect_close(
        got,
        oracle.softmax(x.double().numpy(), -1),
        what="the result is right to the precision of its dtype",
        why="half-precision training starts from a correct half-precision function",
        atol=ATOL_BFLOAT16 if dtype in (torch.bfloat16, torch.float16) else ATOL,
        case=f"x of shape (4, 6), {dtype}",
    )


def test_argument_is_left_alone(adapters):
    x = numbers(3, 4, seed=7)
    before = x.clone()
    adapters.run_softmax(x, dim=-1)
    expect_equal(
        x,
        before,
        what="in_features is not changed in place",
        why="x -= max saves a line and shifts the caller's scores",
    )
