"""Grouped-query attention: both limit cases, what a group shares, causality; then a float64 oracle and its slopes."""

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import ladder as oracle
from tests.oracles import transformer
from tests.oracles.slopes import slopes

# float32: four matrix products of at most 64 numbers around a softmax, with weights that keep sizes near one. Wrong
# laws are off by 1e-2 and more.
ATOL = 3e-5
# float32 gradients, sums of a few dozen products of numbers of size up to 5.
ATOL_SLOPE = 5e-4

NAMES = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def projections(d_model: int, heads: int, kv_heads: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights; those of queries and keys a little larger, so that attention is not close to an average."""
    narrow = d_model // heads * kv_heads
    rows, sizes = (d_model, narrow, narrow, d_model), (1.5, 1.5, 1.0, 1.0)
    return {
        name: numbers(count, d_model, seed=1000 * seed + i) * (size / d_model**0.5)
        for i, (name, count, size) in enumerate(zip(NAMES, rows, sizes, strict=True))
    }


def attend(adapters, weights, x, heads, kv_heads):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    weights = {name: weight.clone() for name, weight in weights.items()}
    return adapters.run_grouped_query_attention(
        d_model=x.shape[-1], num_heads=heads, num_kv_heads=kv_heads, **weights, in_features=x.clone()
    )


def arrays(weights) -> list[np.ndarray]:
    return [weights[name].detach().double().numpy() for name in NAMES]


def want(weights, x, heads, kv_heads):
    return oracle.grouped_attention(x.detach().double().numpy(), *arrays(weights), heads, kv_heads)


def test_with_a_pair_for_every_head_it_is_multi_head_attention(adapters):
    weights, x = projections(12, 3, 3, seed=1), numbers(2, 6, 12, seed=2)
    expect_close(
        attend(adapters, weights, x, 3, 3),
        transformer.self_attention(x.double().numpy(), *arrays(weights), 3),
        what="with as many key and value heads as query heads nothing is shared",
        why="it is the one function for every model, whatever its number of key and value heads",
        atol=ATOL,
        case="x of shape (2, 6, 12), 3 heads, 3 key and value heads",
    )


def test_with_one_pair_every_head_reads_the_same(adapters):
    weights, x = projections(12, 3, 1, seed=3), numbers(2, 6, 12, seed=4)
    by_hand = dict(weights)
    for name in ("k_proj_weight", "v_proj_weight"):
        by_hand[name] = weights[name].repeat(3, 1)
    expect_close(
        attend(adapters, weights, x, 3, 1),
        transformer.self_attention(x.double().numpy(), *arrays(by_hand), 3),
        what="with one key and value head all query heads read it: multi-query attention",
        why="it is the other end of the scale, with the smallest cache that there is",
        atol=ATOL,
        case="x of shape (2, 6, 12), 3 heads, 1 key and value head",
    )


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (6, 3), (6, 2), (8, 4)])
def test_neighbouring_heads_share(adapters, heads, kv_heads):
    d_model = 4 * heads
    weights, x = projections(d_model, heads, kv_heads, seed=5), numbers(2, 7, d_model, seed=6)
    expect_close(
        attend(adapters, weights, x, heads, kv_heads),
        want(weights, x, heads, kv_heads),
        what="query head h reads key and value head h // (num_heads / num_kv_heads): neighbours share",
        why="dealt out in turn, h % num_kv_heads, it trains as well, and no published checkpoint can be read",
        atol=ATOL,
        case=f"{heads} heads of width 4, {kv_heads} key and value heads",
    )


def test_heads_of_a_group_that_ask_the_same_read_the_same(adapters):
    weights, x = projections(8, 4, 2, seed=7), numbers(5, 8, seed=8)
    weights["q_proj_weight"] = weights["q_proj_weight"][:2].repeat(4, 1)  # all four heads ask the same
    read = weights | {"o_proj_weight": torch.eye(8)}
    got = attend(adapters, read, x, 4, 2)
    expect_close(
        got[:, [2, 3, 6, 7]],
        got[:, [0, 1, 4, 5]].double(),
        what="of four heads with equal queries and two key and value heads, the first two agree and the last two",
        why="they look at the same keys with the same questions; only heads of other groups see other values",
        atol=ATOL,
        case="x of shape (5, 8), 4 heads of width 2, o_proj the identity",
    )
    expect(
        float((got[:, :2] - got[:, 4:6]).abs().max()) > 1e-2,
        what="and heads of different groups differ",
        why="one key and value head for all of them would be multi-query attention",
        counterexample="heads 0 and 2 read the same",
        case="x of shape (5, 8), 4 heads of width 2, 2 key and value heads",
    )


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_the_future_is_hidden(adapters, kv_heads):
    weights, x = projections(8, 4, kv_heads, seed=9), numbers(2, 7, 8, seed=10)
    other = x.clone()
    other[:, 4:] = 10 * numbers(2, 3, 8, seed=11)
    expect_close(
        attend(adapters, weights, other, 4, kv_heads)[:, :4],
        attend(adapters, weights, x, 4, kv_heads)[:, :4],
        what="what comes later changes nothing at a position",
        why="a query that sees the next token makes a wonderful training loss and a model that writes rubbish",
        atol=ATOL,
        case=f"positions 4 to 6 of 7 replaced, {kv_heads} key and value heads of 4",
    )


def test_a_token_alone_reads_itself(adapters):
    weights, x = projections(8, 4, 2, seed=12), numbers(3, 1, 8, seed=13)
    values = (
        (x.double() @ weights["v_proj_weight"].double().T).unflatten(-1, (2, 2)).repeat_interleave(2, dim=-2)
    )
    expect_close(
        attend(adapters, weights, x, 4, 2),
        values.flatten(-2) @ weights["o_proj_weight"].double().T,
        what="a single token reads its own values, each value head twice in a row",
        why="weights over the heads of a group that do not sum to one would show here",
        atol=ATOL,
        case="x of shape (3, 1, 8), 4 heads, 2 key and value heads",
    )


def test_the_scale_is_that_of_a_head(adapters):
    # Queries and keys of one head of width 16 would be divided by 4; by the width of keys in all, 32, less is left.
    weights, x = projections(64, 4, 2, seed=14), numbers(1, 8, 64, seed=15)
    weights["q_proj_weight"] *= 2
    expect_close(
        attend(adapters, weights, x, 4, 2),
        want(weights, x, 4, 2),
        what="scores are divided by the root of the width of one head",
        why="by the root of d_model, or of the width of all keys, attention is flatter the fewer key heads there are",
        atol=2 * ATOL,  # scores twice as large
        case="x of shape (1, 8, 64), 4 heads of width 16, 2 key and value heads",
    )


@pytest.mark.parametrize("leading", [(), (1,), (3,), (2, 3)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    weights, x = projections(8, 4, 2, seed=16), numbers(*leading, 5, 8, seed=17)
    expect_close(
        attend(adapters, weights, x, 4, 2),
        want(weights, x, 4, 2),
        what="any number of dimensions may lead; sequences do not see each other",
        why="heads repeated along the wrong dimension mix sequences as soon as there are two",
        atol=ATOL,
        case=f"x of shape {(*leading, 5, 8)}",
    )


def test_heads_that_cannot_be_shared_are_refused(adapters):
    weights, x = projections(8, 4, 3, seed=18), numbers(2, 5, 8, seed=19)
    try:
        attend(adapters, weights, x, 4, 3)
    except NotImplementedError:  # not begun is no refusal
        raise
    except Exception:
        return
    expect(
        False,
        what="a number of heads that is no multiple of the number of key and value heads raises an error",
        why="some head would be left over, and a silent choice for it is another model",
        counterexample="4 heads and 3 key and value heads gave a result",
    )


def test_gradients_equal_the_oracles_slope(adapters):
    weights, x, slope = projections(4, 4, 2, seed=20), numbers(3, 4, seed=21), numbers(3, 4, seed=22)
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    got = adapters.run_grouped_query_attention(
        d_model=4, num_heads=4, num_kv_heads=2, **leaves, in_features=x
    )
    at = {name: weight.double().numpy() for name, weight in weights.items()}

    def total(name, value):
        changed = {**at, name: value}
        found = oracle.grouped_attention(x.double().numpy(), *(changed[n] for n in NAMES), 4, 2)
        return float((found * slope.double().numpy()).sum())

    own = {name: slopes(lambda value, name=name: total(name, value), at[name]) for name in NAMES}
    expect_learning(
        got, slope, leaves, own, atol=ATOL_SLOPE, case="x of shape (3, 4), 4 heads, 2 key and value heads"
    )


def test_arguments_are_left_alone(adapters):
    given = {**projections(8, 4, 2, seed=23), "in_features": numbers(2, 5, 8, seed=24)}
    before = {name: tensor.clone() for name, tensor in given.items()}
    adapters.run_grouped_query_attention(d_model=8, num_heads=4, num_kv_heads=2, **given)
    for name, tensor in given.items():
        expect_equal(
            tensor,
            before[name],
            what=f"{name} is not changed in place",
            why="weights serve every sequence, and the residual stream goes past attention unchanged",
        )
