"""Dropout: what stays, what goes, how often, and that it does nothing in evaluation. Counts of fixed seeds."""

import math
import random

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal

# Counting: five standard deviations of the count; every seed is fixed, so nothing here can fail by chance.
DEVIATIONS = 5.0


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def dropout(adapters, x, drop_fraction, *, training=True, seed=None):
    # A copy goes in: that the caller's x stays as it was is one test's business, not everyone's.
    if seed is not None:
        torch.manual_seed(seed)
    return adapters.run_dropout(drop_fraction=drop_fraction, is_training=training, in_features=x.clone())


def holes(adapters, shape, drop_fraction, seed) -> np.ndarray:
    """Where ones were zeroed."""
    return (dropout(adapters, torch.ones(shape), drop_fraction, seed=seed) == 0).numpy()


@pytest.mark.parametrize("drop_fraction", [0.0, 0.1, 0.5, 0.9])
def test_evaluation_changes_nothing(adapters, drop_fraction):
    x = numbers(4, 6, seed=1)
    expect_equal(
        dropout(adapters, x, drop_fraction, training=False, seed=1),
        x,
        what="in evaluation the result is the input, to the last bit",
        why="a model that drops numbers while it is measured or writes is worse than it is, and differs each time",
        case=f"drop_fraction={drop_fraction}, is_training=False",
    )


def test_evaluation_draws_nothing(adapters):
    torch.manual_seed(2)
    wanted = torch.rand(3)
    dropout(adapters, numbers(4, 6, seed=2), 0.5, training=False, seed=2)
    expect_equal(
        torch.rand(3),
        wanted,
        what="in evaluation no random number is drawn",
        why="a measurement in the middle of a training would change all that is dropped after it: the same run with "
        "another --evaluate-every-steps would end elsewhere",
        case="torch.manual_seed(2), evaluation, then torch.rand(3)",
    )


def test_nothing_dropped_is_the_identity(adapters):
    x = numbers(5, 7, seed=3)
    expect_equal(
        dropout(adapters, x, 0.0, seed=3),
        x,
        what="with drop_fraction=0 training changes nothing either",
        why="it is how a model without dropout is written",
        case="drop_fraction=0.0, is_training=True",
    )


@pytest.mark.parametrize("drop_fraction", [0.1, 0.25, 0.5, 0.9])
def test_what_stays_is_scaled_up(adapters, drop_fraction):
    x = numbers(40, 50, seed=4)
    got = dropout(adapters, x, drop_fraction, seed=4)
    kept = got != 0
    expect_close(
        got,
        x.double() * kept / (1 - drop_fraction),
        what="each number is either 0 or the input over 1 - drop_fraction",
        why="without the scaling a layer sees smaller sums in training than in evaluation, where nothing is missing",
        atol=1e-12,
        rtol=3e-7,  # a division in float32, or a product with a rounded factor
        case=f"x of shape (40, 50), drop_fraction={drop_fraction}",
    )


@pytest.mark.parametrize("drop_fraction", [0.01, 0.1, 0.5, 0.9])
def test_the_fraction_is_what_is_dropped(adapters, drop_fraction):
    count = 100_000
    dropped = int(holes(adapters, (100, 1000), drop_fraction, seed=5).sum())
    slack = DEVIATIONS * math.sqrt(count * drop_fraction * (1 - drop_fraction))
    expect_close(
        float(dropped),
        count * drop_fraction,
        what="drop_fraction is the probability with which a number is zeroed",
        why="the fraction kept in its place makes 0.1 a model that sees a tenth of its numbers",
        atol=slack,
        case=f"100,000 ones, drop_fraction={drop_fraction}; allowed: five standard deviations",
    )


@pytest.mark.parametrize("drop_fraction", [0.1, 0.5])
def test_on_the_average_nothing_changes(adapters, drop_fraction):
    x, rounds = numbers(8, seed=6), 20_000
    got = dropout(adapters, x.expand(rounds, 8), drop_fraction, seed=6).double().mean(0)
    deviation = x.double().abs() * math.sqrt(drop_fraction / (1 - drop_fraction) / rounds)
    expect_close(
        (got - x.double()) / deviation,
        torch.zeros(8),
        what="the mean over many draws is the input",
        why="it is why nothing has to be done in evaluation",
        atol=DEVIATIONS,
        case=f"20,000 draws for 8 numbers, drop_fraction={drop_fraction}; the error in standard deviations",
    )


def test_each_number_has_its_own_fate(adapters):
    gone = holes(adapters, (60, 70, 80), 0.5, seed=7)
    for axis in range(3):
        other = tuple(i for i in range(3) if i != axis)
        shares = gone.mean(axis=other)
        in_each = gone.size / gone.shape[axis]
        expect_close(
            shares,
            np.full(gone.shape[axis], 0.5),
            what="the draws are independent: in every row, column and sequence about half is dropped",
            why="one draw for a whole vector, or one mask for all sequences of a batch, drops much too much at once",
            atol=DEVIATIONS * 0.5 / math.sqrt(in_each),
            case=f"ones of shape (60, 70, 80), shares along dimension {axis}",
        )
        steps = np.diff(gone.astype(np.int8), axis=axis) != 0
        expect_close(
            float(steps.mean()),
            0.5,
            what="neighbours share their fate half of the time, in every direction",
            why="one draw for a whole vector, or one mask for all sequences of a batch, drops much too much at once",
            atol=DEVIATIONS * 0.5 / math.sqrt(steps.size),
            case=f"ones of shape (60, 70, 80), neighbours along dimension {axis}",
        )


def test_torchs_generator_decides(adapters):
    x = torch.ones(20, 30)
    first = dropout(adapters, x, 0.5, seed=8)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - not drawn from: another generator must not matter
    expect_equal(
        dropout(adapters, x, 0.5, seed=8),
        first,
        what="the same torch.manual_seed gives the same zeros",
        why="a resumed run must drop what the uninterrupted one would have dropped; numpy's or Python's generator is "
        "not in the checkpoint",
        case="seed 8, twice",
    )
    expect(
        not bool((dropout(adapters, x, 0.5, seed=9) == first).all()),
        what="another seed gives other zeros",
        why="a generator of its own with a fixed seed is no randomness",
        counterexample="seeds 8 and 9 drop the same of 600 numbers",
    )


def test_every_call_draws_anew(adapters):
    x = torch.ones(20, 30)
    torch.manual_seed(10)
    first, second = dropout(adapters, x, 0.5), dropout(adapters, x, 0.5)
    expect(
        not bool((first == second).all()),
        what="two calls one after the other drop different numbers",
        why="the same mask at every step is a smaller model, not dropout",
        counterexample="the same 600 numbers were dropped twice",
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_dtype_is_kept(adapters, dtype):
    for training in (True, False):
        got = dropout(adapters, numbers(4, 5, seed=11).to(dtype), 0.5, training=training, seed=11)
        expect_equal(
            str(got.dtype),
            str(dtype),
            what="the result has the dtype of the input",
            why="float32 features would not fit the half-precision matrix that comes next",
            case=f"is_training={training}",
        )


def test_small_fractions_work_in_bfloat16(adapters):
    count, drop_fraction = 400_000, 0.001
    torch.manual_seed(12)
    ones = torch.ones(400, 1000, dtype=torch.bfloat16)
    got = adapters.run_dropout(drop_fraction=drop_fraction, is_training=True, in_features=ones)
    expect_close(
        float((got == 0).sum()),
        count * drop_fraction,
        what="one in a thousand is dropped from bfloat16 features as from any others",
        why="bfloat16 has 256 steps between 0 and 1: a uniform number drawn in it cannot be compared with 0.999, "
        "which is 1 there, and nothing is dropped at all",
        atol=DEVIATIONS * math.sqrt(count * drop_fraction),
        case="400,000 ones, bfloat16, drop_fraction=0.001",
    )


def test_gradients_pass_where_the_numbers_did(adapters):
    x, slope = numbers(6, 8, seed=13).requires_grad_(), numbers(6, 8, seed=14)
    torch.manual_seed(13)
    got = adapters.run_dropout(drop_fraction=0.25, is_training=True, in_features=x)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * slope).sum().backward()
    expect_close(
        x.grad,
        slope.double() * (got.detach() != 0) / 0.75,
        what="the gradient is scaled where the number was kept, and 0 where it was dropped",
        why="another mask on the way back teaches weights for what they did not do",
        atol=1e-6,  # a product or two of float32 numbers of size up to 4
        case="x of shape (6, 8), drop_fraction=0.25",
    )


@pytest.mark.parametrize("drop_fraction", [-0.1, 1.0, 1.5])
def test_impossible_fractions_are_refused(adapters, drop_fraction):
    try:
        adapters.run_dropout(drop_fraction=drop_fraction, is_training=True, in_features=torch.ones(3))
    except NotImplementedError:  # not begun is no refusal
        raise
    except Exception:
        return
    expect(
        False,
        what="a fraction outside [0, 1) raises an error",
        why="10 for 10 % would drop everything and divide by -9, and the model would train on that",
        counterexample=f"drop_fraction={drop_fraction} gave a result",
    )


def test_argument_is_left_alone(adapters):
    x = numbers(5, 6, seed=15)
    before = x.clone()
    torch.manual_seed(15)
    adapters.run_dropout(drop_fraction=0.5, is_training=True, in_features=x)
    expect_equal(
        x,
        before,
        what="in_features is not changed in place",
        why="what a branch drops of its own output must not be missing from the residual stream",
    )
