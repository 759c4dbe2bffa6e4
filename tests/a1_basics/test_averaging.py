"""The causal mean: its limit cases, the law that it is attention with equal scores, and a float64 oracle."""

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import attention, ladder

# float32: sums of at most 64 numbers of size up to 4, and one division.
ATOL = 5e-6
# The same for sums of 2000 numbers, added one after another: 2000 roundings of at most 200 x 6e-8, over the count.
ATOL_LONG = 2e-5


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def average(adapters, x):
    # A copy goes in: that the caller's x stays as it was is one test's business, not everyone's.
    return adapters.run_causal_average(in_features=x.clone())


def test_by_hand(adapters):
    expect_close(
        average(adapters, torch.tensor([[6.0, 0.0], [0.0, 2.0], [3.0, -8.0]])),
        [[6.0, 0.0], [3.0, 1.0], [3.0, -2.0]],
        what="each position gets the mean of itself and all before it, coordinate by coordinate",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case="three vectors of two numbers: (6, 0), (0, 2), (3, -8)",
    )


def test_the_first_position_keeps_its_vector(adapters):
    x = numbers(3, 7, 4, seed=1)
    expect_close(
        average(adapters, x)[:, 0],
        x[:, 0],
        what="the first position has seen only itself: its mean is itself",
        why="a mean that leaves the position itself out has nothing to divide by here",
        atol=ATOL,
        case="x of shape (3, 7, 4)",
    )


def test_equal_vectors_stay_as_they_are(adapters):
    x = numbers(5, seed=2).expand(2, 9, 5)
    expect_close(
        average(adapters, x),
        x,
        what="the mean of equal vectors is that vector, after one or after nine",
        why="a sum without division, or one divided by the length of the whole sequence, grows along the text",
        atol=ATOL,
        case="nine times the same vector",
    )


def test_the_future_does_not_matter(adapters):
    x = numbers(2, 8, 3, seed=3)
    other = x.clone()
    other[:, 5:] = 100 * numbers(2, 3, 3, seed=4)
    expect_close(
        average(adapters, other)[:, :5],
        average(adapters, x)[:, :5],
        what="what comes later changes nothing at a position: a text's beginning has the means it had alone",
        why="a mean that holds the next token makes a wonderful training loss and a model that writes rubbish",
        atol=ATOL,
        case="x of shape (2, 8, 3), positions 5 to 7 replaced by numbers a hundred times as large",
    )
    expect_close(
        average(adapters, x[:, :5]),
        average(adapters, x)[:, :5],
        what="a text that is cut off has the means that it had before",
        why="generation shows the model ever longer beginnings of the same text",
        atol=ATOL,
        case="the first five of eight positions",
    )


def test_the_order_of_the_past_does_not_matter(adapters):
    x = numbers(6, 4, seed=5)
    mixed = x[[3, 0, 4, 2, 1, 5]]
    expect_close(
        average(adapters, mixed)[4:],
        average(adapters, x)[4:],
        what="the first five vectors in another order have the same mean",
        why="this is what averaging cannot do, and what the next rung's positions are for: a bag of words has no order",
        atol=ATOL,
        case="x of shape (6, 4), the first five rows shuffled",
    )


@pytest.mark.parametrize("seq", [1, 2, 16])
def test_it_is_attention_in_which_every_score_is_equal(adapters, seq):
    x = numbers(2, seq, 6, seed=6)
    mask = np.tril(np.ones((seq, seq), dtype=bool))
    zeros = np.zeros((2, seq, 6))
    expect_close(
        average(adapters, x),
        attention.attention(zeros, zeros, x.double().numpy(), mask),
        what="causal attention whose queries and keys are zero gives the same: equal scores are equal weights",
        why="attention is this mean with weights that are learned; the rung after this one starts from it",
        atol=ATOL,
        case=f"x of shape (2, {seq}, 6)",
    )


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (2, 1, 3)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    x = numbers(*leading, 5, 3, seed=7)
    expect_close(
        average(adapters, x),
        ladder.causal_average(x.numpy()),
        what="the mean runs along the last dimension but one; any number of dimensions may lead",
        why="along another dimension the sequences of a batch read each other",
        atol=ATOL,
        case=f"x of shape {(*leading, 5, 3)}",
    )


def test_long_texts_stay_exact(adapters):
    x = numbers(2000, 3, seed=8) + 0.1
    expect_close(
        average(adapters, x),
        ladder.causal_average(x.numpy()),
        what="the count goes on as far as the text does",
        why="a mask or a table made for one length ends, or repeats itself, beyond it",
        atol=ATOL_LONG,
        case="x of shape (2000, 3)",
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_dtype_is_kept(adapters, dtype):
    expect_equal(
        str(average(adapters, numbers(4, 5, seed=9).to(dtype)).dtype),
        str(dtype),
        what="the result has the dtype of the input",
        why="float32 features would not fit the half-precision matrix that comes next",
    )


def test_gradients_reach_all_that_was_read(adapters):
    x, slope = numbers(2, 4, 3, seed=10).requires_grad_(), numbers(2, 4, 3, seed=11)
    got = adapters.run_causal_average(in_features=x)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * slope).sum().backward()
    share = (
        slope.double() / torch.arange(1, 5)[:, None]
    )  # position i gave each it read 1 / (i + 1) of its slope
    expect_close(
        x.grad,
        share.flip(-2).cumsum(-2).flip(-2),
        what="each position is taught by itself and by all that come after it, by their shares",
        why="a mean of detached vectors has the right numbers, and the past learns nothing from having been read",
        atol=ATOL,
        case="x of shape (2, 4, 3)",
    )


def test_argument_is_left_alone(adapters):
    x = numbers(5, 4, seed=12)
    before = x.clone()
    adapters.run_causal_average(in_features=x)
    expect_equal(
        x,
        before,
        what="in_features is not changed in place",
        why="the block adds the mean to the vectors themselves; sums made in place are what it would add to",
    )
