"""QK-norm: scores that do not follow the size of queries and keys, their bound, gains; then a float64 oracle."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import ladder as oracle
from tests.oracles.slopes import slopes

# float32: two norms and inner products of at most 64 numbers of size up to 4, over the root of their count.
ATOL = 1e-5
# Gradients: differences of such products, for inputs of size 1.
ATOL_SLOPE = 1e-4
EPS = 1e-6


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def scores(adapters, q, k, q_gain=None, k_gain=None, eps=EPS):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    ones = torch.ones(q.shape[-1])
    return adapters.run_qk_norm_scores(
        eps=eps,
        q_weights=(ones if q_gain is None else q_gain).clone(),
        k_weights=(ones if k_gain is None else k_gain).clone(),
        Q=q.clone(),
        K=k.clone(),
    )


def want(q, k, q_gain, k_gain, eps=EPS):
    return oracle.qk_norm_scores(*(t.detach().double().numpy() for t in (q, k, q_gain, k_gain)), eps)


def test_by_hand(adapters):
    # Mean squares 25 and 1: the query becomes (0.2, 1.4, -1, 1), the key stays; their product is 1.6.
    expect_close(
        scores(adapters, torch.tensor([[1.0, 7.0, -5.0, 5.0]]), torch.tensor([[1.0, 1.0, 1.0, 1.0]])),
        [[0.8]],
        what="query and key are divided by their root mean squares, multiplied, and divided by the root of their width",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case="one query (1, 7, -5, 5), one key (1, 1, 1, 1), gains of 1: 0.2 + 1.4 - 1 + 1 = 1.6, over 2",
    )


@pytest.mark.parametrize("factor", [0.1, 3.0, 1e4], ids=lambda factor: f"times {factor:g}")
@pytest.mark.parametrize("whose", ["queries", "keys"])
def test_the_size_of_queries_and_keys_falls_out(adapters, whose, factor):
    q, k = numbers(2, 5, 8, seed=1), numbers(2, 6, 8, seed=2)
    larger = (factor * q, k) if whose == "queries" else (q, factor * k)
    expect_close(
        scores(adapters, *larger, eps=1e-12),
        scores(adapters, q, k, eps=1e-12),
        what=f"{whose} of any size give the same scores",
        why="this is what it is for: however large the projections grow, scores do not, attention cannot become a "
        "choice of one key, and the loss has no reason to leap",
        atol=ATOL,
        case=f"q of shape (2, 5, 8), k of shape (2, 6, 8), {whose} times {factor:g}",
    )


def test_each_query_and_each_key_is_normalised_by_itself(adapters):
    q, k = numbers(4, 8, seed=3), numbers(5, 8, seed=4)
    sizes = torch.logspace(-1, 2, 5)[:, None]
    expect_close(
        scores(adapters, q * sizes[:4], k * sizes, eps=1e-12),
        scores(adapters, q, k, eps=1e-12),
        what="every vector has its own size taken out, not that of the whole sequence",
        why="one size for all leaves the loud tokens loud, and lets a later token change what an earlier one sees",
        atol=ATOL,
        case="four queries of sizes 0.1 to 18, five keys of sizes 0.1 to 100",
    )


@pytest.mark.parametrize("d_k", [1, 4, 64])
def test_no_score_exceeds_the_root_of_the_width(adapters, d_k):
    q = numbers(7, d_k, seed=5) * 100
    got = scores(adapters, q, q, eps=1e-12)
    expect_close(
        got.diagonal(),
        np.full(7, math.sqrt(d_k)),
        what="a query that equals its key scores the root of d_k, with gains of 1",
        why="vectors of length one, without the gain of RMSNorm, score at most 1 / sqrt(d_k): attention is then "
        "nearly an average, whatever is learned",
        atol=ATOL * max(1.0, math.sqrt(d_k)),
        case=f"seven queries of width {d_k} as their own keys",
    )
    expect(
        bool((got.abs() <= math.sqrt(d_k) * (1 + 1e-5)).all()),
        what="no score is larger than that",
        why="the bound is what keeps attention from overflowing, in float16 too",
        counterexample=f"largest {float(got.abs().max()):.4f}, bound {math.sqrt(d_k):.4f}",
        case=f"d_k={d_k}",
    )


def test_gains_belong_to_their_side(adapters):
    q, k = numbers(3, 6, seed=6), numbers(4, 6, seed=7)
    q_gain, k_gain = numbers(6, seed=8), numbers(6, seed=9)
    expect_close(
        scores(adapters, q, k, q_gain, k_gain),
        want(q, k, q_gain, k_gain),
        what="queries have gains of their own, keys have theirs, coordinate by coordinate",
        why="they let the model choose how sharp its attention is; without them every head looks around equally",
        atol=ATOL,
        case="q of shape (3, 6), k of shape (4, 6), gains of both signs",
    )


def test_gains_come_after_the_norm(adapters):
    q, k = numbers(3, 6, seed=10), numbers(4, 6, seed=11)
    expect_close(
        scores(adapters, q, k, torch.full((6,), 3.0), torch.full((6,), 0.5), eps=1e-12),
        1.5 * scores(adapters, q, k, eps=1e-12).double(),
        what="gains of 3 and of 1/2 make every score 1.5 times as large",
        why="gains before the norm fall out of it again, and nothing is left to learn",
        atol=ATOL,
        case="q of shape (3, 6), k of shape (4, 6)",
    )


@pytest.mark.parametrize("eps", [1e-8, 1e-5, 0.5], ids=lambda eps: f"eps {eps:g}")
@pytest.mark.parametrize("size", [0.0, 3e-3, 1.0], ids=lambda size: f"size {size:g}")
def test_eps_stands_beside_the_mean_square(adapters, size, eps):
    q, k, ones = numbers(3, 6, seed=12) * size, numbers(4, 6, seed=13), torch.ones(6)
    expect_close(
        scores(adapters, q, k, eps=eps),
        want(q, k, ones, ones, eps),
        what="eps is added to the mean square, under the root, and is the eps that was given",
        why="a query of zeros, as padding gives, has scores of zero; without eps it has NaN",
        atol=ATOL,
        rtol=4e-6,
        case=f"queries of size {size:g}, eps={eps:g}",
    )


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 1, 3)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    q, k, ones = numbers(*leading, 5, 8, seed=14), numbers(*leading, 7, 8, seed=15), torch.ones(8)
    expect_close(
        scores(adapters, q, k),
        want(q, k, ones, ones),
        what="batch and heads may lead; only the last dimension is normalised",
        why="a norm over d_model, before the heads are cut, lets one loud head silence the others",
        atol=ATOL,
        case=f"q of shape {(*leading, 5, 8)}, k of shape {(*leading, 7, 8)}",
    )


def test_float16_squares_do_not_overflow(adapters):
    q, k = (numbers(4, 32, seed=seed).clamp(-1, 1).mul(300).half() for seed in (16, 17))
    ones = torch.ones(32)
    expect_close(
        scores(adapters, q, k),
        want(q, k, ones, ones),
        what="squares are formed in float32, also when queries and keys are float16",
        why="the square of 300 is infinite in float16, and the norm that should prevent an overflow overflows",
        atol=0.02,  # 32 products of numbers rounded to 11 bits, and the sum rounded again
        case="queries and keys of shape (4, 32), float16, numbers up to 300",
    )


def test_gradients_equal_the_oracles_slope(adapters):
    q, k, slope = numbers(3, 5, seed=18), numbers(4, 5, seed=19), numbers(3, 4, seed=20)
    q_gain, k_gain = numbers(5, seed=21), numbers(5, seed=22)
    at = {"Q": q, "K": k, "q_weights": q_gain, "k_weights": k_gain}
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in at.items()}
    got = adapters.run_qk_norm_scores(eps=1e-2, **leaves)
    fixed = {name: tensor.double().numpy() for name, tensor in at.items()}

    def total(name, value):
        now = {**fixed, name: value}
        found = oracle.qk_norm_scores(now["Q"], now["K"], now["q_weights"], now["k_weights"], 1e-2)
        return float((found * slope.double().numpy()).sum())

    own = {name: slopes(lambda value, name=name: total(name, value), fixed[name]) for name in at}
    expect_learning(
        got, slope, leaves, own, atol=ATOL_SLOPE, case="q of shape (3, 5), k of shape (4, 5), eps=0.01"
    )


def test_arguments_are_left_alone(adapters):
    given = {
        "Q": numbers(3, 4, seed=23),
        "K": numbers(5, 4, seed=24),
        "q_weights": numbers(4, seed=25),
        "k_weights": numbers(4, seed=26),
    }
    before = {name: tensor.clone() for name, tensor in given.items()}
    adapters.run_qk_norm_scores(eps=EPS, **given)
    for name, tensor in given.items():
        expect_equal(
            tensor,
            before[name],
            what=f"{name} is not changed in place",
            why="keys stand in a cache, and are read again by every later token",
        )
