"""GELU between two matrices with biases: values and limits of GELU, what each part does, and a float64 oracle."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import ladder as oracle
from tests.oracles.slopes import slopes

# float32: two products of at most 64 numbers around a GELU, with weights that keep sizes near one. The exact GELU, by
# the error function, is off by up to 4.7e-4.
ATOL = 1e-5
# float32 gradients, sums of a few dozen products of numbers of size up to 5.
ATOL_SLOPE = 2e-4

NAMES = ("w1_weight", "w1_bias", "w2_weight", "w2_bias")


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def parameters(d_model: int, d_ff: int, seed: int = 0) -> dict[str, torch.Tensor]:
    shapes = ((d_ff, d_model), (d_ff,), (d_model, d_ff), (d_model,))
    sizes = (1.5 / d_model**0.5, 0.5, 1 / d_ff**0.5, 1.0)
    return {
        name: numbers(*shape, seed=100 * seed + i) * size
        for i, (name, shape, size) in enumerate(zip(NAMES, shapes, sizes, strict=True))
    }


def feedforward(adapters, weights, x):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    d_ff, d_model = weights["w1_weight"].shape
    given = {name: tensor.clone() for name, tensor in weights.items()}
    return adapters.run_gelu_feedforward(d_model=d_model, d_ff=d_ff, **given, in_features=x.clone())


def gelu_of(adapters, values) -> torch.Tensor:
    """GELU alone: both matrices are 1, both biases 0."""
    one, zero = torch.ones(1, 1), torch.zeros(1)
    weights = dict(zip(NAMES, (one, zero, one, zero), strict=True))
    return feedforward(adapters, weights, torch.as_tensor(values, dtype=torch.float32)[:, None])[:, 0]


def want(weights, x):
    arrays = [weights[name].detach().double().numpy() for name in NAMES]
    return oracle.gelu_feedforward(x.detach().double().numpy(), *arrays)


def test_by_hand(adapters):
    lean = math.tanh(math.sqrt(2 / math.pi) * 1.044715)  # 0.6824
    expect_close(
        gelu_of(adapters, [0.0, 1.0, -1.0]),
        [0.0, 0.5 * (1 + lean), -0.5 * (1 - lean)],
        what="GELU(1) = (1 + tanh(sqrt(2/pi) 1.044715)) / 2 = 0.8412, GELU(-1) = -0.1588, GELU(0) = 0",
        why="this is the definition: x times the share of a bell curve that lies to the left of x",
        atol=1e-6,
        case="x = 0, 1, -1; matrices of 1, biases of 0",
    )


def test_gelu_over_its_dip(adapters):
    x = torch.linspace(-6, 6, 1201)
    expect_close(
        gelu_of(adapters, x),
        oracle.gelu(x.numpy()),
        what="with matrices of 1 and biases of 0 each number x becomes GELU(x), by the tanh formula",
        why="GPT-2 was trained with this formula: the exact GELU is off by up to 4.7e-4 in each hidden number, "
        "ReLU and SiLU by more",
        atol=2e-6,  # a cube, a tanh and a product of float32 numbers of size up to 6
        case="1201 numbers from -6 to 6",
    )


def test_gelu_of_x_minus_gelu_of_minus_x_is_x(adapters):
    x = numbers(200, seed=1) * 3
    expect_close(
        gelu_of(adapters, x).double() - gelu_of(adapters, -x).double(),
        x,
        what="GELU(x) - GELU(-x) = x: what passes to the right is missing on the left",
        why="a formula with a wrong constant may keep this, one with a wrong sign does not",
        atol=4e-6,
        case="200 numbers of size up to 9",
    )


@pytest.mark.parametrize("x", [-1e10, -1000.0, -20.0, 20.0, 1000.0, 1e10], ids=lambda x: f"{x:g}")
def test_far_out_gelu_is_zero_or_x(adapters, x):
    expect_close(
        gelu_of(adapters, [x]),
        [max(x, 0.0)],
        what="far below 0 GELU is 0, far above it is x, and it is finite",
        why="an exponential written out in place of tanh overflows at 89, and infinity over infinity is NaN",
        atol=1e-6,
        rtol=1e-6,
        case=f"x = {x:g}",
    )


def test_both_biases_count(adapters):
    d_model, d_ff = 3, 5
    weights = parameters(d_model, d_ff, seed=2)
    weights["w1_weight"] = torch.zeros(d_ff, d_model)
    hidden = oracle.gelu(weights["w1_bias"].numpy())
    constant = hidden @ weights["w2_weight"].double().numpy().T + weights["w2_bias"].double().numpy()
    expect_close(
        feedforward(adapters, weights, numbers(4, d_model, seed=3)),
        np.broadcast_to(constant, (4, d_model)),
        what="where w1 is zero the result is w2 gelu(b1) + b2, whatever comes in",
        why="b1 stands inside of GELU and b2 outside; a model whose biases stay zero hides all of it",
        atol=ATOL,
        case="d_model=3, d_ff=5, w1_weight of zeros",
    )


def test_the_hidden_units_are_summed(adapters):
    weights, x = parameters(6, 8, seed=4), numbers(5, 6, seed=5)
    order = [3, 0, 7, 1, 6, 2, 5, 4]
    mixed = {
        "w1_weight": weights["w1_weight"][order],
        "w1_bias": weights["w1_bias"][order],
        "w2_weight": weights["w2_weight"][:, order],
        "w2_bias": weights["w2_bias"],
    }
    expect_close(
        feedforward(adapters, mixed, x),
        feedforward(adapters, weights, x),
        what="hidden units have no order: rows of w1 with their biases, and columns of w2, may be shuffled together",
        why="a bias that belongs to another row breaks this, and fits in every shape",
        atol=ATOL,
        case="d_model=6, d_ff=8",
    )


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (2, 1, 3)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    weights, x = parameters(6, 24, seed=6), numbers(*leading, 6, seed=7)
    expect_close(
        feedforward(adapters, weights, x),
        want(weights, x),
        what="each vector passes through the same two matrices, by itself",
        why="the feed-forward looks at one position at a time: what mixes positions is attention",
        atol=ATOL,
        case=f"x of shape {(*leading, 6)}, d_ff=24",
    )


@pytest.mark.parametrize(("d_model", "d_ff"), [(4, 4), (1, 7), (64, 16)])
def test_any_widths(adapters, d_model, d_ff):
    weights, x = parameters(d_model, d_ff, seed=8), numbers(3, d_model, seed=9)
    expect_close(
        feedforward(adapters, weights, x),
        want(weights, x),
        what="y = w2 gelu(w1 x + b1) + b2, for any widths",
        why="square matrices multiply either way round: transposed ones raise no error",
        atol=ATOL,
        case=f"d_model={d_model}, d_ff={d_ff}",
    )


def test_gradients_equal_the_oracles_slope(adapters):
    weights, x, slope = (
        parameters(4, 6, seed=10),
        numbers(3, 4, seed=11).requires_grad_(),
        numbers(3, 4, seed=12),
    )
    arrays = {name: tensor.double().numpy() for name, tensor in weights.items()}
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    got = adapters.run_gelu_feedforward(d_model=4, d_ff=6, **leaves, in_features=x)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    by_x = torch.autograd.grad((got * slope).sum(), x, retain_graph=True)[0]

    def total(**changed):
        at = {**arrays, "x": x.detach().double().numpy(), **changed}
        return float(
            (oracle.gelu_feedforward(at["x"], *(at[n] for n in NAMES)) * slope.double().numpy()).sum()
        )

    expect_close(
        by_x,
        slopes(lambda at: total(x=at), x.detach().numpy()),
        what="the gradient of the input is the slope of the function",
        why="a wrong gradient lets the loss fall, only slower, and no error tells",
        atol=ATOL_SLOPE,
        case="d_model=4, d_ff=6",
    )
    own = {name: slopes(lambda at, name=name: total(**{name: at}), arrays[name]) for name in NAMES}
    x = x.detach()  # from here on only the weights learn
    got = adapters.run_gelu_feedforward(d_model=4, d_ff=6, **leaves, in_features=x)
    expect_learning(got, slope, leaves, own, atol=ATOL_SLOPE, case="d_model=4, d_ff=6")


@pytest.mark.parametrize("at", [-1000.0, -30.0, 30.0, 1000.0], ids=lambda x: f"{x:g}")
def test_slopes_are_finite_far_out(adapters, at):
    x = torch.tensor([[at]], requires_grad=True)
    one, zero = torch.ones(1, 1), torch.zeros(1)
    arguments = dict(zip(NAMES, (one, zero, one, zero), strict=True))
    adapters.run_gelu_feedforward(d_model=1, d_ff=1, **arguments, in_features=x).sum().backward()
    expect_close(
        x.grad,
        [[float(at > 0)]],
        what="the slope of GELU is 0 far below zero and 1 far above, never NaN",
        why="one NaN in one hidden unit is NaN in every weight after one step",
        atol=1e-6,
        case=f"x = {at:g}",
    )


def test_arguments_are_left_alone(adapters):
    given = {**parameters(3, 4, seed=13), "in_features": numbers(2, 3, seed=14)}
    before = {name: tensor.clone() for name, tensor in given.items()}
    adapters.run_gelu_feedforward(d_model=3, d_ff=4, **given)
    for name, tensor in given.items():
        expect_equal(
            tensor,
            before[name],
            what=f"{name} is not changed in place",
            why="the residual stream goes past the feed-forward unchanged, and weights serve every position",
        )
