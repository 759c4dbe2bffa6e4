"""Scaled dot-product attention: laws of weights, mask and scale, then a float64 oracle and its slopes."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import attention as oracle

# float32: scores of size 5 round by 1e-6, the exponential passes that on as a relative error, and averages of
# numbers of size 3 keep it. Wrong laws are off by 1e-2 and more.
ATOL = 2e-5
# bfloat16 keeps 8 bits: inputs of size 3 and weights each round by up to 2^-8 of their size, several times in
# a row.
ATOL_BFLOAT16 = 0.06
# float64 inputs; the central difference of the oracle is good to about 1e-9, an implementation that computes
# in float32 inside is good to about 1e-6.
ATOL_SLOPE = 2e-5


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def some_mask(*shape: int, seed: int = 0) -> torch.Tensor:
    """A random mask in which every query may attend to at least one key."""
    random = np.random.default_rng(seed)
    mask = random.random(shape) < 0.5
    np.put_along_axis(mask, random.integers(0, shape[-1], (*shape[:-1], 1)), True, axis=-1)
    return torch.from_numpy(mask)


def attention(adapters, q, k, v, mask=None):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    mask = None if mask is None else mask.clone()
    return adapters.run_scaled_dot_product_attention(Q=q.clone(), K=k.clone(), V=v.clone(), mask=mask)


def expect_oracle(adapters, q, k, v, mask=None, *, what, why, case, atol=ATOL):
    arrays = [x.detach().double().numpy() for x in (q, k, v)]
    want = oracle.attention(*arrays, None if mask is None else mask.numpy())
    expect_close(attention(adapters, q, k, v, mask), want, what=what, why=why, case=case, atol=atol)


def test_one_query_two_keys(adapters):
    # Scores are 0 and ln 3 * sqrt(4) / sqrt(4) = ln 3, so the weights are 1/4 and 3/4.
    q = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    k = torch.tensor([[0.0, 1.0, 0.0, 0.0], [2 * math.log(3), 0.0, 0.0, 0.0]])
    v = torch.tensor([[0.0, 8.0], [4.0, 0.0]])
    expect_close(
        attention(adapters, q, k, v),
        [[3.0, 2.0]],
        what="the result is the average of the values with weights softmax(q . k / sqrt(d_k))",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case="d_k=4, scores 0 and ln 3, weights 1/4 and 3/4, values (0, 8) and (4, 0)",
    )


@pytest.mark.parametrize("is_masked", [False, True])
def test_weights_sum_to_one(adapters, is_masked):
    q, k = numbers(2, 5, 8, seed=1), numbers(2, 7, 8, seed=2)
    mask = some_mask(2, 5, 7, seed=3) if is_masked else None
    expect_close(
        attention(adapters, q, k, torch.ones(2, 7, 3), mask),
        torch.ones(2, 5, 3),
        what="the weights of each query sum to one over the keys it may see: values of 1 give 1",
        why="the result is an average; masking after the softmax, or normalising over queries, shrinks or "
        "grows it by a factor that depends on the mask",
        atol=ATOL,
        case=f"q (2, 5, 8), k (2, 7, 8), v all ones (2, 7, 3), {'random mask' if is_masked else 'mask=None'}",
    )


def test_true_means_attend(adapters):
    q, k, v = numbers(3, 4, seed=4), numbers(3, 4, seed=5), numbers(3, 2, seed=6)
    chosen = [2, 0, 1]
    mask = torch.zeros(3, 3, dtype=torch.bool)
    mask[range(3), chosen] = True
    expect_close(
        attention(adapters, q, k, v, mask),
        v[chosen],
        what="mask is True where a query may attend: with a single True per row, that value comes out",
        why="many libraries mean the opposite; inverted, a causal model sees only its future",
        atol=ATOL,
        case="query 0 may see key 2 only, query 1 key 0, query 2 key 1",
    )


def test_no_mask_means_all_keys(adapters):
    q, k, v = numbers(2, 4, 6, seed=7), numbers(2, 4, 6, seed=8), numbers(2, 4, 6, seed=9)
    why = "encoders and cross-attention see everything; a causal mask is the caller's to give"
    case = "q, k, v of shape (2, 4, 6)"
    expect_oracle(adapters, q, k, v, what="mask=None masks nothing", why=why, case=case)
    everything = torch.ones(2, 4, 4, dtype=torch.bool)
    expect_oracle(adapters, q, k, v, everything, what="a mask of all True masks nothing", why=why, case=case)


@pytest.mark.parametrize("seen_score", [0.0, -2e4, -1e10], ids=lambda score: f"scores {score:g}")
def test_masked_keys_have_no_influence(adapters, seen_score):
    # Every allowed score is about `seen_score`; then the masked keys and values are replaced by enormous
    # ones.
    mask = some_mask(4, 6, seed=10)
    mask[:, 5] = False
    q = torch.ones(4, 4)
    k = numbers(6, 4, seed=11).round() + seen_score / 2  # q . k / sqrt(4) is half the sum of four numbers
    v = numbers(6, 3, seed=12)
    loud_k, loud_v = k.clone(), v.clone()
    loud_k[5], loud_v[5] = 1e10, 1e30
    quiet, loud = attention(adapters, q, k, v, mask), attention(adapters, q, loud_k, loud_v, mask)
    expect_equal(
        loud,
        quiet,
        what="a masked key has exactly no influence, however large it or its value is",
        why="a leak from the future lets the model read the answer in training, and it fails in use; -1e4 "
        "or -1e9 instead of -inf leaks as soon as the allowed scores are lower than that",
        case=f"key 5 is masked for all 4 queries; allowed scores about {seen_score:g}; k[5] becomes 1e10, "
        "v[5] 1e30",
    )
    if seen_score > -1e6:  # beyond, float32 cannot tell the allowed scores apart, and forms differ rightly
        expect_oracle(
            adapters,
            q,
            loud_k,
            loud_v,
            mask,
            what="what is left after masking is still the average over the allowed keys",
            why="subtract the largest *allowed* score before the exponential, or the allowed ones "
            "underflow to 0/0",
            case=f"allowed scores about {seen_score:g}, masked score 2e10",
            # exp(score - logsumexp) is a fair form, and rounds the logarithm at 2^-24 of the score's size.
            atol=ATOL + 2e-7 * abs(seen_score),
        )


def test_keys_may_be_reordered(adapters):
    q, k, v = numbers(2, 4, 6, seed=13), numbers(2, 5, 6, seed=14), numbers(2, 5, 3, seed=15)
    mask, order = some_mask(2, 4, 5, seed=16), [3, 0, 4, 1, 2]
    expect_close(
        attention(adapters, q, k[:, order], v[:, order], mask[:, :, order]),
        attention(adapters, q, k, v, mask),
        what="keys, values and mask columns in another order give the same result",
        why="attention reads a set: order enters through positions and mask, nowhere else",
        atol=ATOL,
        case=f"5 keys in order {order}",
    )


def test_queries_are_independent(adapters):
    q, k, v = numbers(2, 4, 6, seed=17), numbers(2, 5, 6, seed=18), numbers(2, 5, 3, seed=19)
    mask = some_mask(2, 4, 5, seed=20)
    together = attention(adapters, q, k, v, mask)
    for i in range(4):
        expect_close(
            attention(adapters, q[:, i : i + 1], k, v, mask[:, i : i + 1]),
            together[:, i : i + 1],
            what="a query gives the same result alone and among others",
            why="generation with a cache asks for one query at a time and must agree with training",
            atol=ATOL,
            case=f"query {i} of 4 alone",
        )


@pytest.mark.parametrize(("d_k", "d_v"), [(16, 4), (4, 16), (1, 9), (64, 1)], ids=str)
def test_scale_uses_the_width_of_the_keys(adapters, d_k, d_v):
    q, k, v = numbers(3, d_k, seed=21), numbers(5, d_k, seed=22), numbers(5, d_v, seed=23)
    expect_oracle(
        adapters,
        q,
        k,
        v,
        what="scores are divided by sqrt(d_k), the width of queries and keys; V may have another width",
        why="a sum of d_k products has variance d_k; divided by anything else the softmax starts too sharp "
        "or too flat",
        case=f"d_k={d_k}, d_v={d_v}",
    )


@pytest.mark.parametrize("size", [100, 10_000])
def test_large_scores_stay_finite(adapters, size):
    # Whole numbers, so that scores are exact in float32 and the answer is too.
    q = torch.tensor([[size, 0, 0, 0], [-size, 0, 0, 0]], dtype=torch.float32)
    k = torch.tensor([[2, 0, 0, 0], [1, 5, 0, 0], [-2, 0, 0, 0]], dtype=torch.float32)
    expect_oracle(
        adapters,
        q,
        k,
        numbers(3, 2, seed=24),
        what="large scores of either sign give finite weights",
        why="exp(89) overflows float32 and exp(-104) underflows to 0/0: subtract the largest score of each "
        "row, not of the whole tensor; bfloat16 training reaches such scores",
        case=f"scores {size}, {size // 2}, -{size} for query 0, their negatives for query 1",
    )


def test_rows_far_apart_stay_finite(adapters):
    q = torch.tensor([[1000.0], [1.0]])
    k = torch.tensor([[3.0], [2.0]])
    expect_oracle(
        adapters,
        q,
        k,
        numbers(2, 2, seed=25),
        what="each query is normalised by its own largest score",
        why="shifted by the largest score of the whole tensor, quiet queries underflow to 0/0",
        case="d_k=1, scores (3000, 2000) for query 0 and (3, 2) for query 1",
    )


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("is_masked", [False, True])
def test_any_leading_dimensions(adapters, leading, is_masked):
    q, k, v = (
        numbers(*leading, 4, 8, seed=26),
        numbers(*leading, 6, 8, seed=27),
        numbers(*leading, 6, 5, seed=28),
    )
    expect_oracle(
        adapters,
        q,
        k,
        v,
        some_mask(*leading, 4, 6, seed=29) if is_masked else None,
        what="only the last two dimensions matter; q_len and k_len may differ; each mask belongs to its "
        "own batch row",
        why="the same function serves (batch, seq, d), (batch, heads, seq, d) and a single sequence",
        case=f"q {(*leading, 4, 8)}, k {(*leading, 6, 8)}, v {(*leading, 6, 5)}",
    )


@pytest.mark.parametrize("mask_shape", [(4, 6), (3, 4, 6), (1, 1, 4, 6), (2, 1, 4, 6)], ids=str)
def test_mask_broadcasts(adapters, mask_shape):
    q, k, v = numbers(2, 3, 4, 8, seed=30), numbers(2, 3, 6, 8, seed=31), numbers(2, 3, 6, 5, seed=32)
    expect_oracle(
        adapters,
        q,
        k,
        v,
        some_mask(*mask_shape, seed=33),
        what="the mask broadcasts against (..., q_len, k_len)",
        why="one causal mask of shape (seq, seq) serves all heads and sequences; copies would take heads * "
        "batch times the memory",
        case=f"q (2, 3, 4, 8), k (2, 3, 6, 8), mask {mask_shape}",
    )


@pytest.mark.parametrize("argument", ["Q", "K", "V"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_gradients_equal_the_oracles_slope(adapters, argument, is_masked):
    parts = {"Q": numbers(2, 3, 4, seed=34), "K": numbers(2, 5, 4, seed=35), "V": numbers(2, 5, 3, seed=36)}
    parts = {name: part.double().requires_grad_(name == argument) for name, part in parts.items()}
    mask = some_mask(2, 3, 5, seed=37) if is_masked else None
    weight = numbers(2, 3, 3, seed=38).double()
    got = attention(adapters, parts["Q"], parts["K"], parts["V"], mask)
    expect(
        bool(got.requires_grad),
        what=f"the result is differentiable with respect to {argument}",
        why="with detach() or no_grad inside, the projection before it never learns",
        counterexample=f"{argument}.requires_grad is True, the result's is False",
    )
    (got * weight).sum().backward()

    def loss(step: np.ndarray) -> float:
        arrays = {name: part.detach().numpy() for name, part in parts.items()}
        arrays[argument] = arrays[argument] + step
        mixed = oracle.attention(
            arrays["Q"], arrays["K"], arrays["V"], None if mask is None else mask.numpy()
        )
        return float((mixed * weight.numpy()).sum())

    slopes = np.zeros(parts[argument].shape)
    for place in np.ndindex(slopes.shape):
        step = np.zeros(slopes.shape)
        step[place] = 1e-5
        slopes[place] = (loss(step) - loss(-step)) / 2e-5
    expect_close(
        parts[argument].grad,
        slopes,
        what=f"the gradient with respect to {argument} is the slope of the function",
        why="a weight that is detached on the way (often the softmax or its shift) still gives the right "
        "forward numbers, and learns wrongly",
        atol=ATOL_SLOPE,
        case=f"q (2, 3, 4), k (2, 5, 4), v (2, 5, 3), {'random mask' if is_masked else 'mask=None'}, float64",
    )


def test_arguments_are_left_alone(adapters):
    parts = {"Q": numbers(2, 4, 6, seed=39), "K": numbers(2, 5, 6, seed=40), "V": numbers(2, 5, 3, seed=41)}
    parts["mask"] = some_mask(2, 4, 5, seed=42)
    before = {name: part.clone() for name, part in parts.items()}
    adapters.run_scaled_dot_product_attention(**parts)
    for name, part in parts.items():
        expect_equal(
            part,
            before[name],
            what=f"{name} is not changed in place",
            why="Q /= sqrt(d_k) or mask.logical_not_() works once, and corrupts the next layer's or call's "
            "input",
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_dtype_is_kept(adapters, dtype):
    q, k, v = (numbers(2, n, 8, seed=s).to(dtype) for n, s in ((4, 43), (6, 44), (6, 45)))
    mask = some_mask(2, 4, 6, seed=46)
    got = attention(adapters, q, k, v, mask)
    expect_equal(
        str(got.dtype),
        str(dtype),
        what="the result has the dtype of the values",
        why="the output projection is stored in that dtype and refuses another",
    )
    expect_oracle(
        adapters,
        q,
        k,
        v,
        mask,
        what="the result is right to the precision of its dtype",
        why="half-precision training starts from a correct half-precision function",
        case=f"q (2, 4, 8), k and v (2, 6, 8), {dtype}",
        atol=ATOL_BFLOAT16 if dtype == torch.bfloat16 else ATOL,
    )
