"""LayerNorm: laws of mean, variance and shift, the place of eps, half precision; a float64 oracle and its slopes."""

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import ladder as oracle
from tests.oracles.slopes import slopes

# float32: a mean, a mean of squares, a root and two products of numbers of size up to 4 round by less than 2e-6.
ATOL = 5e-6
# Gradients: differences of such products, for inputs of size 1.
ATOL_SLOPE = 5e-5


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def layernorm(adapters, x, gain=None, offset=None, eps=1e-5):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    d_model = x.shape[-1]
    gain = torch.ones(d_model) if gain is None else gain
    offset = torch.zeros(d_model) if offset is None else offset
    return adapters.run_layernorm(
        d_model=d_model, eps=eps, weights=gain.clone(), biases=offset.clone(), in_features=x.clone()
    )


def expect_oracle(adapters, x, gain, offset, eps=1e-5, *, what, why, case, atol=ATOL, rtol=0.0):
    want = oracle.layer_norm(x.double().numpy(), gain.numpy(), offset.numpy(), eps)
    got = layernorm(adapters, x, gain, offset, eps)
    expect_close(got, want, what=what, why=why, case=case, atol=atol, rtol=rtol)


def test_by_hand(adapters):
    # Mean 3, deviations -2, -2, 4, 0; their squares 4, 4, 16, 0 have the mean 6.
    expect_close(
        layernorm(
            adapters,
            torch.tensor([1.0, 1.0, 7.0, 3.0]),
            torch.tensor([1.0, 1.0, 2.0, 5.0]),
            torch.tensor([0.0, 1.0, 0.0, -1.0]),
            eps=1e-12,
        ),
        [-2 / 6**0.5, 1 - 2 / 6**0.5, 8 / 6**0.5, -1.0],
        what="minus the mean, over the root of the mean squared deviation, times the gain, plus the offset",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case="x = (1, 1, 7, 3): mean 3, variance 6; gains (1, 1, 2, 5), offsets (0, 1, 0, -1)",
    )


@pytest.mark.parametrize("d_model", [2, 3, 8, 64])
def test_the_mean_becomes_zero_and_the_variance_one(adapters, d_model):
    x = numbers(6, d_model, seed=1) * torch.logspace(-1, 2, 6)[:, None]
    got = layernorm(adapters, x, eps=1e-12).double()
    expect_close(
        torch.stack((got.mean(-1), got.square().mean(-1))),
        torch.stack((torch.zeros(6), torch.ones(6))),
        what="with gains of 1 and offsets of 0 the result has the mean 0 and the variance 1, whatever came in",
        why="this is what the norm is for; a variance divided by d_model - 1 is too small by an amount that depends "
        "on the width, and no model trained with the other one can be read",
        atol=2 * ATOL,  # two numbers that nearly cancel decide the result for d_model = 2
        case=f"six vectors of width {d_model}, of sizes 0.1 to 100: their means, then their mean squares",
    )


def test_a_shift_falls_out(adapters):
    x = numbers(5, 16, seed=2)
    expect_close(
        layernorm(adapters, x + 10, eps=1e-12),
        layernorm(adapters, x, eps=1e-12),
        what="the same number added to every coordinate changes nothing",
        why="RMSNorm, which subtracts nothing, is another layer, and a GPT-2 computed with it is off everywhere",
        atol=2e-5,  # near 10 a float32 is rounded by 5e-7; deviations of size 1 keep that error, and its multiples
        case="x of shape (5, 16), and x + 10",
    )


def test_far_from_zero_the_variance_survives(adapters):
    x = numbers(4, 32, seed=3) + 3000
    expect_oracle(
        adapters,
        x,
        torch.ones(32),
        torch.zeros(32),
        what="vectors whose mean is three thousand times their deviation are normalised like any others",
        why="the mean of squares minus the square of the mean is a difference of two numbers of size 9,000,000: in "
        "float32 nothing is left of a variance of 1, and it may come out negative, whose root is NaN",
        case="x of shape (4, 32), mean 3000, deviation 1",
        atol=2e-3,  # the float32 mean itself is rounded to a few 1e-4
    )


@pytest.mark.parametrize("eps", [1e-8, 1e-5, 1e-2, 0.5], ids=lambda eps: f"eps {eps:g}")
@pytest.mark.parametrize("size", [0.0, 1e-4, 3e-3, 1.0], ids=lambda size: f"size {size:g}")
def test_eps_stands_beside_the_variance(adapters, size, eps):
    expect_oracle(
        adapters,
        numbers(3, 6, seed=4) * size,
        numbers(6, seed=5),
        numbers(6, seed=6),
        eps,
        what="eps is added to the variance, under the root, and is the eps that was given",
        why="for vectors of usual size its place does not show; for the small ones of a fresh or dead layer the "
        "result is several times too large or too small, or NaN",
        case=f"x of shape (3, 6) and size {size:g}, eps={eps:g}",
        rtol=4e-6,
    )


def test_each_coordinate_has_its_gain_and_its_offset(adapters):
    x, gain, offset = numbers(5, 5, seed=7), numbers(5, seed=8), numbers(5, seed=9)
    expect_close(
        layernorm(adapters, x, gain, offset),
        layernorm(adapters, x).double() * gain.double() + offset.double(),
        what="coordinate j is multiplied by gain j, then offset j is added",
        why="offsets under the gain, or along the wrong dimension, fit a square input and are another layer",
        atol=ATOL,
        case="x of shape (5, 5), gains and offsets of both signs",
    )


@pytest.mark.parametrize("leading", [(), (1,), (6,), (2, 3), (2, 1, 3)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    expect_oracle(
        adapters,
        numbers(*leading, 6, seed=10),
        numbers(6, seed=11),
        numbers(6, seed=12),
        what="only the last dimension is normalised; any number may lead",
        why="statistics over the whole sequence would let the past see the future; over the batch they are batch "
        "normalisation, another layer",
        case=f"x of shape {(*leading, 6)}",
    )


@pytest.mark.parametrize("size", [1.0, 300.0, 2e4], ids=lambda size: f"size {size:g}")
def test_float16_squares_do_not_overflow(adapters, size):
    x = (numbers(4, 32, seed=13).clamp(-1, 1) * size).half()
    expect_oracle(
        adapters,
        x,
        torch.ones(32),
        torch.zeros(32),
        what="sums and squares are formed in float32, also when the input is float16",
        why="float16 ends at 65504, so the square of 300 is infinite there and the result 0",
        case=f"x of shape (4, 32) and float16, numbers up to {size:g}",
        atol=1.5e-3,  # one rounding of the result, of size up to 2.5, to float16
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_dtype_is_kept(adapters, dtype):
    got = layernorm(adapters, numbers(3, 8, seed=14).to(dtype), numbers(8, seed=15), numbers(8, seed=16))
    expect_equal(
        str(got.dtype),
        str(dtype),
        what="the result has the dtype of the input, whatever that of gains and offsets",
        why="a float32 result does not fit the half-precision matrix that comes next, or doubles the memory",
        case="x of shape (3, 8), float32 gains and offsets",
    )


def test_gradients_equal_the_oracles_slope(adapters):
    x, gain, offset = numbers(3, 5, seed=17).requires_grad_(), numbers(5, seed=18), numbers(5, seed=19)
    weight = numbers(3, 5, seed=20)
    got = adapters.run_layernorm(d_model=5, eps=1e-2, weights=gain, biases=offset, in_features=x)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable with respect to the input",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * weight).sum().backward()

    def total(at):
        return float(
            (oracle.layer_norm(at, gain.numpy(), offset.numpy(), 1e-2) * weight.double().numpy()).sum()
        )

    expect_close(
        x.grad,
        slopes(total, x.detach().numpy()),
        what="the gradient is the slope of the function: mean and variance depend on the input too",
        why="with either detached the numbers are right, and every layer before learns in a wrong direction",
        atol=ATOL_SLOPE,
        case="x of shape (3, 5), eps=0.01",
    )


def test_gradients_reach_gain_and_offset(adapters):
    x, weight = numbers(2, 3, 5, seed=21), numbers(2, 3, 5, seed=22)
    gain, offset = numbers(5, seed=23).requires_grad_(), numbers(5, seed=24).requires_grad_()
    got = adapters.run_layernorm(d_model=5, eps=1e-5, weights=gain, biases=offset, in_features=x)
    normed = oracle.layer_norm(x.numpy(), np.ones(5), np.zeros(5), 1e-5)
    slope = weight.double().numpy()
    want = {"weights": (normed * slope).sum(axis=(0, 1)), "biases": slope.sum(axis=(0, 1))}
    expect_learning(
        got, weight, {"weights": gain, "biases": offset}, want, atol=ATOL_SLOPE, case="x of shape (2, 3, 5)"
    )


def test_arguments_are_left_alone(adapters):
    given = {
        "in_features": numbers(3, 4, seed=25),
        "weights": numbers(4, seed=26),
        "biases": numbers(4, seed=27),
    }
    before = {name: tensor.clone() for name, tensor in given.items()}
    adapters.run_layernorm(d_model=4, eps=1e-5, **given)
    for name, tensor in given.items():
        expect_equal(
            tensor,
            before[name],
            what=f"{name} is not changed in place",
            why="the residual stream goes past the norm unchanged: x -= mean would move that too",
        )
