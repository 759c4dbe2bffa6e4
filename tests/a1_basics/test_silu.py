"""SiLU: identities and limits first, then a float64 oracle of its values and slopes."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import layers as oracle

# One sigmoid and one product of float32 numbers of size up to 10.
ATOL = 2e-6
# bfloat16 keeps 8 bits; sigmoid and product each round a number of size up to 4.
ATOL_BFLOAT16 = 0.04

STEEP = [-1e30, -1e4, -1000.0, -104.0, -90.0, -88.0, -30.0, 30.0, 88.0, 104.0, 1000.0, 1e4, 1e30]
"""On both sides of where exp overflows (89) and underflows (-104) in float32."""


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def silu(adapters, x):
    # A copy goes in: that the caller's x stays as it was is one test's business, not everyone's.
    return adapters.run_silu(x.clone())


def test_values_by_hand(adapters):
    # sigmoid(ln 3) = 3/4 and sigmoid(-ln 3) = 1/4.
    x = torch.tensor([0.0, math.log(3), -math.log(3)])
    expect_close(
        silu(adapters, x),
        [0.0, 0.75 * math.log(3), -0.25 * math.log(3)],
        what="silu(x) = x sigmoid(x), and sigmoid(ln 3) is 3/4",
        why="this is the definition; GELU, x sigmoid(1.702 x) and ReLU look alike and are others",
        atol=ATOL,
        case="x = 0, ln 3, -ln 3",
    )


def test_odd_part_is_half_of_x(adapters):
    x = numbers(100, seed=1) * 4
    expect_close(
        silu(adapters, x).double() - silu(adapters, -x).double(),
        x,
        what="silu(x) - silu(-x) = x, for sigmoid(x) + sigmoid(-x) = 1",
        why="an approximation of the sigmoid breaks this, and an activation is evaluated billions of times",
        atol=4 * ATOL,
        case="100 numbers of size up to 12",
    )


def test_it_dips_below_zero_once(adapters):
    x = torch.linspace(-12, 12, 2401)
    expect_close(
        silu(adapters, x),
        oracle.silu(x.numpy()),
        what="values agree with x / (1 + e^-x) in float64, over the dip to -0.278 at -1.278 and beyond",
        why="what tells SiLU from ReLU is that it passes a little of what is below zero",
        atol=ATOL,
        case="2401 numbers from -12 to 12",
    )


@pytest.mark.parametrize("x", STEEP, ids=lambda x: f"{x:g}")
def test_far_out_it_is_zero_or_x(adapters, x):
    expect_close(
        silu(adapters, torch.tensor([x])),
        [0.0 if x < 0 else x],
        what="far below 0 silu is 0, far above it is x, and it is finite everywhere",
        why="a float32 exponential overflows at 89: infinity over infinity is NaN, and one NaN ends a training run",
        atol=3e-12,  # silu(-30) is -2.8e-12
        rtol=1e-6,
        case=f"x = {x:g}",
    )


@pytest.mark.parametrize("x", [*STEEP[2:-2], -5.0, -1.0, 0.0, 1.0, 5.0], ids=lambda x: f"{x:g}")
def test_slopes_are_finite_everywhere(adapters, x):
    at = torch.tensor([x], requires_grad=True)
    got = adapters.run_silu(at)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    got.sum().backward()
    expect_close(
        at.grad,
        oracle.silu_slope(np.array([x])),
        what="the derivative is sigmoid(x) (1 + x (1 - sigmoid(x))): 0 far below, 1 far above, never NaN",
        why="x / (1 + exp(-x)) has the right values at -100, where exp overflows, and the gradient infinity over "
        "infinity: NaN in every weight after one step",
        atol=1e-5,
        case=f"x = {x:g}",
    )


def test_gradients_go_on_backwards(adapters):
    x, slope = numbers(3, 5, seed=2).mul(3).requires_grad_(), numbers(3, 5, seed=3)
    (adapters.run_silu(x) * slope).sum().backward()
    expect_close(
        x.grad,
        oracle.silu_slope(x.detach().numpy()) * slope.double().numpy(),
        what="each number's gradient is its own slope times the gradient that comes from behind",
        why="a wrong gradient lets the loss fall, only slower, and no error tells",
        atol=1e-5,
        case="x of shape (3, 5)",
    )


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (2, 1, 3)], ids=str)
def test_any_shape(adapters, shape):
    x = numbers(*shape, seed=4) * 3
    expect_close(
        silu(adapters, x),
        oracle.silu(x.numpy()),
        what="the function is applied to each number by itself, whatever the shape",
        why="the same function serves hidden units of any layout",
        atol=ATOL,
        case=f"x of shape {shape}",
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_dtype_is_kept(adapters, dtype):
    x = (numbers(4, 5, seed=5) * 3).to(dtype)
    got = silu(adapters, x)
    expect_equal(
        str(got.dtype),
        str(dtype),
        what="the result has the dtype of the input",
        why="float32 hidden units would double the memory of the widest layer, or not fit the next matrix",
    )
    expect_close(
        got,
        oracle.silu(x.double().numpy()),
        what="the result is right to the precision of its dtype",
        why="half-precision training starts from a correct half-precision function",
        atol=ATOL_BFLOAT16 if dtype in (torch.bfloat16, torch.float16) else ATOL,
        case=f"x of shape (4, 5), {dtype}",
    )


def test_argument_is_left_alone(adapters):
    x = numbers(3, 4, seed=6)
    before = x.clone()
    adapters.run_silu(x)
    expect_equal(
        x,
        before,
        what="in_features is not changed in place",
        why="x.mul_(sigmoid) gives the right result once, and the backward pass the wrong gradient",
    )
