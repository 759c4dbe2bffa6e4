"""The gated feed-forward: which matrix is the gate, what is linear in what, then a float64 oracle and its slopes."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import layers as oracle
from tests.oracles.slopes import slopes

# float32: three matrix products of at most 192 numbers, with weights that keep sizes near one.
ATOL = 2e-5
# Sums of a few dozen products of gradients and hidden units of size up to 10.
ATOL_SLOPE = 5e-4


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def matrices(d_model: int, d_ff: int, seed: int = 0) -> dict[str, torch.Tensor]:
    return {
        "w1_weight": numbers(d_ff, d_model, seed=seed) / d_model**0.5,
        "w2_weight": numbers(d_model, d_ff, seed=seed + 1) / d_ff**0.5,
        "w3_weight": numbers(d_ff, d_model, seed=seed + 2) / d_model**0.5,
    }


def swiglu(adapters, weights, x):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    d_ff, d_model = weights["w1_weight"].shape
    copies = {name: weight.clone() for name, weight in weights.items()}
    return adapters.run_swiglu(d_model=d_model, d_ff=d_ff, **copies, in_features=x.clone())


def want(weights, x):
    arrays = [weights[f"w{i}_weight"].detach().double().numpy() for i in (1, 2, 3)]
    return oracle.swiglu(x.detach().double().numpy(), *arrays)


def test_one_hidden_unit_by_hand(adapters):
    # w1 x = ln 3, and silu(ln 3) = 3/4 ln 3; w3 x = 2 ln 3; w2 is 4.
    weights = {
        "w1_weight": torch.tensor([[1.0]]),
        "w2_weight": torch.tensor([[4.0]]),
        "w3_weight": torch.tensor([[2.0]]),
    }
    expect_close(
        swiglu(adapters, weights, torch.tensor([[math.log(3)]])),
        [[4 * 0.75 * math.log(3) * 2 * math.log(3)]],
        what="the result is w2 (silu(w1 x) * w3 x)",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case="d_model=1, d_ff=1, w1=1, w2=4, w3=2, x = ln 3",
    )


def test_the_gate_is_w1(adapters):
    weights = {
        "w1_weight": torch.tensor([[-40.0], [40.0]]),
        "w2_weight": torch.tensor([[1.0, 10.0]]),
        "w3_weight": torch.tensor([[3.0], [0.5]]),
    }
    expect_close(
        swiglu(adapters, weights, torch.tensor([1.0])),
        [10 * 40 * 0.5],
        what="a hidden unit whose w1 x is far below zero is shut; w3 x passes as it is, through the open ones",
        why="w1 and w3 have the same shape, and checkpoints name them: exchanged, everything fits and is wrong",
        atol=1e-3,  # numbers of size 200
        case="two hidden units: w1 x = (-40, 40), w3 x = (3, 0.5), w2 = (1, 10)",
    )


@pytest.mark.parametrize("name", ["w2_weight", "w3_weight"])
def test_linear_in_w2_and_in_w3(adapters, name):
    weights, x = matrices(4, 6, seed=1), numbers(3, 4, seed=5)
    changed = {**weights, name: -3 * weights[name]}
    expect_close(
        swiglu(adapters, changed, x),
        -3 * swiglu(adapters, weights, x).double(),
        what=f"three times {name}, with the sign turned, gives three times the result, with the sign turned",
        why="only the gate is bent by SiLU; a second activation, or one at the end, is another layer",
        atol=3 * ATOL,
        case="d_model=4, d_ff=6",
    )


def test_a_zero_gate_lets_nothing_through(adapters):
    weights = matrices(4, 6, seed=6)
    weights["w1_weight"] = torch.zeros(6, 4)
    expect_close(
        swiglu(adapters, weights, numbers(3, 4, seed=9)),
        torch.zeros(3, 4),
        what="with w1 = 0 the result is exactly 0: gate and content are multiplied, and there is no bias",
        why="added in place of multiplied, the gate decides nothing",
        atol=0.0,
        case="w1 of zeros, d_model=4, d_ff=6",
    )


def test_hidden_units_may_be_reordered(adapters):
    weights, x, order = matrices(4, 6, seed=10), numbers(3, 4, seed=13), [4, 0, 5, 2, 1, 3]
    reordered = {
        "w1_weight": weights["w1_weight"][order],
        "w2_weight": weights["w2_weight"][:, order],
        "w3_weight": weights["w3_weight"][order],
    }
    expect_close(
        swiglu(adapters, reordered, x),
        swiglu(adapters, weights, x),
        what="rows of w1 and w3 and columns of w2 in another common order change nothing",
        why="each hidden unit works by itself: a softmax or a norm over them is another layer",
        atol=ATOL,
        case=f"d_model=4, d_ff=6, order {order}",
    )


@pytest.mark.parametrize(("d_model", "d_ff"), [(4, 6), (6, 4), (8, 8), (64, 192), (3, 1)], ids=str)
def test_widths(adapters, d_model, d_ff):
    weights, x = matrices(d_model, d_ff, seed=14), numbers(5, d_model, seed=17)
    expect_close(
        swiglu(adapters, weights, x),
        want(weights, x),
        what="w1 and w3 lead from d_model to d_ff, w2 leads back; d_ff may be any width",
        why="square matrices hide a transposed one",
        atol=ATOL,
        case=f"d_model={d_model}, d_ff={d_ff}, x of shape (5, {d_model})",
    )


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (2, 1, 3)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    weights, x = matrices(4, 6, seed=18), numbers(*leading, 4, seed=21)
    expect_close(
        swiglu(adapters, weights, x),
        want(weights, x),
        what="only the last dimension takes part; any number may lead",
        why="the same layer serves (batch, seq, d_model) and the single vector of a generation step",
        atol=ATOL,
        case=f"x of shape {(*leading, 4)}",
    )


def test_every_position_is_alone(adapters):
    weights, x = matrices(4, 6, seed=22), numbers(5, 4, seed=25)
    changed = x.clone()
    changed[3] = 100.0
    before, after = swiglu(adapters, weights, x), swiglu(adapters, weights, changed)
    others = [0, 1, 2, 4]
    expect_close(
        after[others],
        before[others],
        what="a position in another place has no influence",
        why="position-wise is in the name; a layer that mixes positions lets the model see the future",
        atol=ATOL,
        case="5 positions, number 3 becomes 100; shown are the other four",
    )


def test_large_hidden_units_stay_finite(adapters):
    weights = matrices(4, 6, seed=26)
    x = (numbers(3, 4, seed=29) * 300).requires_grad_()
    got = adapters.run_swiglu(d_model=4, d_ff=6, **weights, in_features=x)
    expected = want(weights, x)
    expect_close(
        got,
        expected,
        what="hidden units of size 300 give finite results of either sign",
        why="outliers of that size are common in trained models",
        atol=1e-5 * float(np.abs(expected).max()),
        case="x of shape (3, 4) and size 300",
    )
    got.sum().backward()
    expect(
        bool(x.grad.isfinite().all()),
        what="the gradient at hidden units of size 300 is finite",
        why="x / (1 + exp(-x)) has the right values there and a gradient of NaN, which ends a training run",
        counterexample=f"{int((~x.grad.isfinite()).sum())} of {x.grad.numel()} numbers of the gradient are not finite",
        case="x of shape (3, 4) and size 300",
    )


def test_gradients_equal_the_oracles_slope(adapters):
    weights, x, slope = (
        matrices(4, 6, seed=30),
        numbers(2, 3, 4, seed=33).requires_grad_(),
        numbers(2, 3, 4, seed=34),
    )
    got = adapters.run_swiglu(d_model=4, d_ff=6, **weights, in_features=x)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable with respect to the input",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * slope).sum().backward()
    arrays = [weights[f"w{i}_weight"].double().numpy() for i in (1, 2, 3)]
    expect_close(
        x.grad,
        slopes(
            lambda at: float((oracle.swiglu(at, *arrays) * slope.double().numpy()).sum()), x.detach().numpy()
        ),
        what="the gradient is the slope of the function, through the gate and through the content",
        why="a gate that is detached still gives the right numbers, and learns wrongly",
        atol=ATOL_SLOPE,
        case="x of shape (2, 3, 4), d_ff=6",
    )


def test_gradients_reach_every_weight(adapters):
    weights = {name: weight.requires_grad_() for name, weight in matrices(4, 6, seed=35).items()}
    x, slope = numbers(2, 3, 4, seed=38), numbers(2, 3, 4, seed=39)
    arrays = {name: weight.detach().double().numpy() for name, weight in weights.items()}

    def loss(**changed: np.ndarray) -> float:
        now = {**arrays, **changed}
        result = oracle.swiglu(x.double().numpy(), now["w1_weight"], now["w2_weight"], now["w3_weight"])
        return float((result * slope.double().numpy()).sum())

    expect_learning(
        adapters.run_swiglu(d_model=4, d_ff=6, **weights, in_features=x),
        slope,
        weights,
        {name: slopes(lambda at, name=name: loss(**{name: at}), array) for name, array in arrays.items()},
        atol=ATOL_SLOPE,
        case="x of shape (2, 3, 4), d_ff=6",
    )


def test_arguments_are_left_alone(adapters):
    parts = {**matrices(4, 6, seed=40), "in_features": numbers(3, 4, seed=43)}
    before = {name: part.clone() for name, part in parts.items()}
    adapters.run_swiglu(d_model=4, d_ff=6, **parts)
    for name, part in parts.items():
        expect_equal(
            part,
            before[name],
            what=f"{name} is not changed in place",
            why="the residual stream goes past this layer, and the weights serve the next call",
        )
