"""The linear layer: its definition by hand, then the laws of a linear map, precision, shapes and gradients."""

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import WHY, expect_learning
from tests.oracles import layers as oracle

# A sum of 64 float32 products of size 1 rounds by at most about 1e-5. float16 keeps 11 bits: its sums are off by
# 1e-3 and more, bfloat16's by 1e-2.
ATOL = 2e-5
# Gradients are the same kind of sums, over at most a dozen positions.
ATOL_SLOPE = 1e-4


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def linear(adapters, weights, x):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    d_out, d_in = weights.shape
    return adapters.run_linear(d_in=d_in, d_out=d_out, weights=weights.clone(), in_features=x.clone())


def test_each_output_is_a_row_times_the_input(adapters):
    expect_close(
        linear(adapters, torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([1.0, 10.0])),
        [21.0, 43.0, 65.0],
        what="output i is the inner product of row i of the weight with the input: y = x W^T",
        why="this is the definition; every matrix of the model is used this way",
        atol=ATOL,
        case="W = [[1, 2], [3, 4], [5, 6]], x = (1, 10)",
    )


def test_a_square_weight_is_used_by_rows(adapters):
    expect_close(
        linear(adapters, torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([2.0, 3.0])),
        [3.0, 0.0],
        what="W[i, j] carries input j to output i, also where W is square and both ways run",
        why="x W in place of x W^T raises no error in the attention projections, which are square, and reads "
        "everybody's checkpoints wrongly",
        atol=ATOL,
        case="W = [[0, 1], [0, 0]], x = (2, 3)",
    )


def test_zero_gives_zero(adapters):
    expect_close(
        linear(adapters, numbers(5, 3, seed=1), torch.zeros(2, 3)),
        torch.zeros(2, 5),
        what="the input 0 gives exactly 0: there is no bias",
        why="a bias is not in the checkpoint; every load would leave another random one in place",
        atol=0.0,
        case="W of shape (5, 3), x of zeros (2, 3)",
    )


def test_sums_and_multiples_pass_through(adapters):
    w, x, y = numbers(6, 4, seed=2), numbers(3, 4, seed=3), numbers(3, 4, seed=4)
    expect_close(
        linear(adapters, w, 2 * x - 3 * y),
        2 * linear(adapters, w, x).double() - 3 * linear(adapters, w, y).double(),
        what="f(2 x - 3 y) = 2 f(x) - 3 f(y): the map is linear",
        why="an activation, a norm or a clamp inside belongs to other layers, and would come twice",
        atol=ATOL,
        case="W of shape (6, 4), x and y of shape (3, 4)",
    )


@pytest.mark.parametrize(("d_in", "d_out"), [(1, 1), (7, 3), (3, 7), (64, 64), (256, 5)], ids=str)
def test_float32_precision(adapters, d_in, d_out):
    # Rows of large and small inputs: half precision would lose the small ones, or overflow at the large.
    w = numbers(d_out, d_in, seed=5) / d_in**0.5
    x = numbers(4, d_in, seed=6) * torch.tensor([[1e-4], [1.0], [1e2], [1e6]])
    want = oracle.linear(x.numpy(), w.numpy())
    size = np.array([[1e-4], [1.0], [1e2], [1e6]])
    expect_close(
        linear(adapters, w, x).double() / torch.from_numpy(size),
        want / size,
        what="the result is right to the precision of float32, for small and for large inputs",
        why="float16 inside keeps three digits and overflows at 65504, bfloat16 keeps two; the errors of many "
        "layers add up",
        atol=ATOL,
        case=f"d_in={d_in}, d_out={d_out}; rows of size 1e-4, 1, 1e2 and 1e6, each shown divided by its size",
    )


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (2, 1, 3), (1, 1, 1, 2)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    w, x = numbers(3, 4, seed=7), numbers(*leading, 4, seed=8)
    expect_close(
        linear(adapters, w, x),
        oracle.linear(x.numpy(), w.numpy()),
        what="only the last dimension takes part; any number may lead",
        why="the same layer serves a single vector, (batch, seq, d) and (batch, heads, seq, d)",
        atol=ATOL,
        case=f"W of shape (3, 4), x of shape {(*leading, 4)}",
    )


def test_every_position_is_alone(adapters):
    w, x = numbers(3, 4, seed=9), numbers(5, 4, seed=10)
    together = linear(adapters, w, x)
    for i in range(5):
        expect_close(
            linear(adapters, w, x[i]),
            together[i],
            what="a position gives the same result alone and among others",
            why="a layer that mixes positions lets the model see the future",
            atol=ATOL,
            case=f"position {i} of 5 alone",
        )


def test_input_that_is_no_contiguous_memory(adapters):
    w, x = numbers(3, 4, seed=11), numbers(2, 4, 5, seed=12).mT
    expect_close(
        adapters.run_linear(d_in=4, d_out=3, weights=w, in_features=x),
        oracle.linear(x.numpy(), w.numpy()),
        what="a transposed view is as good an input as any",
        why="after attention the heads are put together by a transpose; .view() fails there, and memory read in order "
        "is silent nonsense",
        atol=ATOL,
        case="x of shape (2, 5, 4), the transpose of a (2, 4, 5) tensor",
    )


def test_gradients_reach_the_input(adapters):
    w, x = numbers(3, 4, seed=13), numbers(2, 5, 4, seed=14).requires_grad_()
    slope = numbers(2, 5, 3, seed=15)
    got = adapters.run_linear(d_in=4, d_out=3, weights=w, in_features=x)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable with respect to the input",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * slope).sum().backward()
    expect_close(
        x.grad,
        oracle.linear(slope.numpy(), w.T.numpy()),
        what="the gradient of the input is the gradient of the result times W",
        why="a wrong gradient lets the loss fall, only slower, and no error tells",
        atol=ATOL_SLOPE,
        case="W of shape (3, 4), x of shape (2, 5, 4)",
    )


def test_gradients_reach_the_weight(adapters):
    w, x, slope = (
        numbers(3, 4, seed=16).requires_grad_(),
        numbers(2, 5, 4, seed=17),
        numbers(2, 5, 3, seed=18),
    )
    got = adapters.run_linear(d_in=4, d_out=3, weights=w, in_features=x)
    want = slope.double().reshape(-1, 3).numpy().T @ x.double().reshape(-1, 4).numpy()
    expect_learning(
        got,
        slope,
        {"weights": w},
        {"weights": want},
        atol=ATOL_SLOPE,
        case="W of shape (3, 4), x of shape (2, 5, 4)",
    )


def test_arguments_are_left_alone(adapters):
    w, x = numbers(3, 4, seed=19), numbers(2, 4, seed=20)
    w_before, x_before = w.clone(), x.clone()
    adapters.run_linear(d_in=4, d_out=3, weights=w, in_features=x)
    expect_equal(
        x, x_before, what="in_features is not changed in place", why="the residual stream is used again"
    )
    expect_equal(
        w, w_before, what="weights is not changed in place", why=f"the next call computes with it; {WHY}"
    )
