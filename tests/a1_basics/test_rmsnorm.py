"""RMSNorm: laws of length, scale and centre, the place of eps, half precision; a float64 oracle and its slopes."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import layers as oracle
from tests.oracles.slopes import slopes

# float32: a mean of squares, a root and two products of numbers of size up to 4 round by less than 2e-6.
ATOL = 5e-6
# Gradients: differences of such products, for inputs of size 1.
ATOL_SLOPE = 5e-5


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def rmsnorm(adapters, x, gain=None, eps=1e-5):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    gain = torch.ones(x.shape[-1]) if gain is None else gain
    return adapters.run_rmsnorm(d_model=x.shape[-1], eps=eps, weights=gain.clone(), in_features=x.clone())


def expect_oracle(adapters, x, gain, eps=1e-5, *, what, why, case, atol=ATOL, rtol=0.0):
    want = oracle.rms_norm(x.double().numpy(), gain.numpy(), eps)
    expect_close(rmsnorm(adapters, x, gain, eps), want, what=what, why=why, case=case, atol=atol, rtol=rtol)


def test_by_hand(adapters):
    # Mean square (1 + 49 + 25 + 25) / 4 = 25, so the root is 5.
    expect_close(
        rmsnorm(
            adapters, torch.tensor([1.0, 7.0, -5.0, 5.0]), torch.tensor([1.0, 1.0, 2.0, -3.0]), eps=1e-12
        ),
        [0.2, 1.4, -2.0, -3.0],
        what="each number is divided by the root of the mean square, then multiplied by its own gain",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case="x = (1, 7, -5, 5), mean square 25, gains (1, 1, 2, -3)",
    )


@pytest.mark.parametrize("d_model", [1, 2, 7, 64])
def test_the_root_mean_square_becomes_one(adapters, d_model):
    x = numbers(6, d_model, seed=1) * torch.logspace(-1, 3, 6)[:, None]
    expect_close(
        rmsnorm(adapters, x, eps=1e-12).double().square().mean(-1).sqrt(),
        torch.ones(6),
        what="with gains of 1 the result has a root mean square of 1, whatever came in",
        why="this is what the norm is for: each layer sees numbers of size one; a sum of squares in place of their "
        "mean makes them smaller the wider the model is",
        atol=ATOL,
        case=f"six vectors of width {d_model}, of sizes 0.1 to 1000",
    )


def test_a_constant_stays_a_constant(adapters):
    expect_close(
        rmsnorm(adapters, torch.full((2, 5), 3.0), eps=1e-12),
        torch.ones(2, 5),
        what="nothing is subtracted: a vector of equal numbers becomes a vector of ones",
        why="LayerNorm subtracts the mean and gives zeros here; it is another layer",
        atol=ATOL,
        case="x of shape (2, 5), all 3",
    )


@pytest.mark.parametrize("factor", [2.0, -1.0, 1000.0])
def test_scale_falls_out_and_sign_stays(adapters, factor):
    x = numbers(4, 8, seed=2)
    expect_close(
        rmsnorm(adapters, factor * x, eps=1e-12),
        math.copysign(1, factor) * rmsnorm(adapters, x, eps=1e-12).double(),
        what="a vector and any multiple of it give the same result, up to the sign",
        why="however large the residual stream has grown after fifty layers, the next layer sees the same",
        atol=ATOL,
        case=f"x of shape (4, 8) times {factor:g}",
    )


@pytest.mark.parametrize("eps", [1e-8, 1e-5, 1e-2, 0.5], ids=lambda eps: f"eps {eps:g}")
@pytest.mark.parametrize("size", [0.0, 1e-4, 3e-3, 1.0], ids=lambda size: f"size {size:g}")
def test_eps_stands_beside_the_mean_square(adapters, size, eps):
    x, gain = numbers(3, 6, seed=3) * size, numbers(6, seed=4)
    expect_oracle(
        adapters,
        x,
        gain,
        eps,
        what="eps is added to the mean square, under the root, and is the eps that was given",
        why="for vectors of usual size its place does not show; for the small ones of a fresh or dead layer, eps "
        "beside the root, or beside the sum, makes the result several times too large or too small",
        case=f"x of shape (3, 6) and size {size:g}, eps={eps:g}",
        rtol=2e-6,
    )


def test_each_coordinate_has_its_gain(adapters):
    x, gain = numbers(5, 5, seed=5), numbers(5, seed=6)
    expect_close(
        rmsnorm(adapters, x, gain),
        rmsnorm(adapters, x).double() * gain.double(),
        what="gain j multiplies coordinate j, as it is",
        why="1 + gain is another convention, and along the wrong dimension a square input hides it",
        atol=ATOL,
        case="x of shape (5, 5), gains of both signs",
    )


@pytest.mark.parametrize("leading", [(), (1,), (6,), (2, 3), (2, 1, 3)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    expect_oracle(
        adapters,
        numbers(*leading, 6, seed=7),
        numbers(6, seed=8),
        what="only the last dimension is normalised; any number may lead",
        why="the same layer serves (batch, seq, d_model) and the single vector of a generation step; a norm over the "
        "whole sequence would let the past see the future",
        case=f"x of shape {(*leading, 6)}",
    )


@pytest.mark.parametrize("size", [1.0, 300.0, 6e4], ids=lambda size: f"size {size:g}")
def test_float16_squares_do_not_overflow(adapters, size):
    x = (numbers(4, 32, seed=9).clamp(-1, 1) * size).half()
    expect_oracle(
        adapters,
        x,
        torch.ones(32),
        what="the squares are formed and averaged in float32, also when the input is float16",
        why="float16 ends at 65504, so the square of 300 is infinite there and the result 0: the layer goes dead in "
        "the middle of a run",
        case=f"x of shape (4, 32) and float16, numbers up to {size:g}",
        atol=1e-3,  # one rounding of the result, of size up to 2.5, to float16
    )


def test_float16_eps_does_not_vanish(adapters):
    expect_close(
        rmsnorm(adapters, torch.zeros(2, 8, dtype=torch.float16), eps=1e-8),
        torch.zeros(2, 8),
        what="a vector of zeros gives zeros, also when the input is float16",
        why="eps = 1e-8 is 0 in float16, and 0/0 is NaN",
        atol=0.0,
        case="x of zeros, shape (2, 8) and float16, eps=1e-8",
    )


def test_bfloat16_is_rounded_once(adapters):
    x = (numbers(64, 48, seed=10) * 3).bfloat16()
    expect_oracle(
        adapters,
        x,
        torch.ones(48),
        what="all is computed in float32 and the result rounded once, back to bfloat16",
        why="bfloat16 has 8 bits: a root rounded to it puts the same error of up to 0.4 % on a whole vector, in every "
        "layer",
        case="x of shape (64, 48) and bfloat16, gains of 1; one rounding is at most 2^-8 of a number",
        atol=1e-6,
        rtol=2**-8 * 1.001,
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_dtype_is_kept(adapters, dtype):
    got = rmsnorm(adapters, numbers(3, 8, seed=11).to(dtype), numbers(8, seed=12))
    expect_equal(
        str(got.dtype),
        str(dtype),
        what="the result has the dtype of the input, whatever the dtype of the gain",
        why="a float32 result does not fit the half-precision matrix that comes next, or doubles the memory",
        case="x of shape (3, 8), float32 gain",
    )


def test_gradients_equal_the_oracles_slope(adapters):
    x, gain, weight = numbers(3, 5, seed=13).requires_grad_(), numbers(5, seed=14), numbers(3, 5, seed=15)
    got = adapters.run_rmsnorm(d_model=5, eps=1e-2, weights=gain, in_features=x)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable with respect to the input",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * weight).sum().backward()
    expect_close(
        x.grad,
        slopes(
            lambda at: float((oracle.rms_norm(at, gain.numpy(), 1e-2) * weight.double().numpy()).sum()),
            x.detach().numpy(),
        ),
        what="the gradient is the slope of the function: the root depends on the input too",
        why="with the root detached the numbers are right, and every layer before learns in a wrong direction",
        atol=ATOL_SLOPE,
        case="x of shape (3, 5), eps=0.01",
    )


def test_gradients_reach_the_gain(adapters):
    x, gain, weight = (
        numbers(2, 3, 5, seed=16),
        numbers(5, seed=17).requires_grad_(),
        numbers(2, 3, 5, seed=18),
    )
    got = adapters.run_rmsnorm(d_model=5, eps=1e-5, weights=gain, in_features=x)
    want = (oracle.rms_norm(x.numpy(), np.ones(5), 1e-5) * weight.double().numpy()).sum(axis=(0, 1))
    expect_learning(
        got, weight, {"weights": gain}, {"weights": want}, atol=ATOL_SLOPE, case="x of shape (2, 3, 5)"
    )


def test_arguments_are_left_alone(adapters):
    x, gain = numbers(3, 4, seed=19), numbers(4, seed=20)
    x_before, gain_before = x.clone(), gain.clone()
    adapters.run_rmsnorm(d_model=4, eps=1e-5, weights=gain, in_features=x)
    why = "the residual stream goes past the norm unchanged: x /= rms would normalise that too"
    expect_equal(x, x_before, what="in_features is not changed in place", why=why)
    expect_equal(
        gain, gain_before, what="weights is not changed in place", why="the next call computes with it"
    )
