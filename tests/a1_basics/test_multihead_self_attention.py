"""Multi-head self-attention, without positions and with RoPE: laws of causality and of heads; then an oracle."""

import numpy as np
import pytest
import torch

from tests.a1_basics.small_heads import (
    ATOL,
    BOTH,
    NAMES,
    THETA,
    attend,
    identities,
    numbers,
    projections,
    want,
)
from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import transformer as oracle
from tests.oracles.slopes import slopes

# float32 gradients, sums of a few dozen products of numbers of size up to 5.
ATOL_SLOPE = 5e-4


@pytest.mark.parametrize("position", [None, 0, 5], ids=["without_rope", "position_0", "position_5"])
def test_a_token_alone_reads_itself(adapters, position):
    weights, x = projections(8, seed=1), numbers(2, 1, 8, seed=2)
    theta = None if position is None else THETA
    expect_close(
        attend(adapters, weights, x, 2, theta, None if position is None else [position]),
        x.double() @ weights["v_proj_weight"].double().T @ weights["o_proj_weight"].double().T,
        what="a single token can read only itself: the result is W_o W_v x, wherever it stands",
        why="values carry content, not position: RoPE belongs to queries and keys alone",
        atol=ATOL,
        case=f"x of shape (2, 1, 8), 2 heads, position {position}",
    )


@BOTH
def test_equal_tokens_read_themselves(adapters, theta):
    weights, x = projections(8, seed=3), numbers(8, seed=4).expand(1, 6, 8)
    expect_close(
        attend(adapters, weights, x, 2, theta),
        x.double() @ weights["v_proj_weight"].double().T @ weights["o_proj_weight"].double().T,
        what="where all tokens are equal, each reads just that token: the weights of a query sum to one",
        why="weights that do not sum to one, or values turned by their position, break this and still train",
        atol=ATOL,
        case="six times the same token, d_model=8, 2 heads",
    )


@BOTH
@pytest.mark.parametrize("seq", [2, 5, 12, 13, 33])
def test_the_future_has_no_influence(adapters, theta, seq):
    weights, x = projections(8, seed=5), numbers(2, seq, 8, seed=6)
    before = attend(adapters, weights, x, 2, theta)
    for last in sorted({0, seq // 2, seq - 2}):
        changed = x.clone()
        changed[:, last + 1 :] = numbers(2, seq, 8, seed=7)[:, last + 1 :] * 10
        expect_close(
            attend(adapters, weights, changed, 2, theta)[:, : last + 1],
            before[:, : last + 1],
            what="tokens after a position have no influence on it",
            why="a model that sees the word it has to predict has a wonderful training loss and writes rubbish",
            atol=1e-6,
            case=f"{seq} tokens; those after position {last} are exchanged; shown are positions 0 to {last}",
        )


@BOTH
@pytest.mark.parametrize("seq", [2, 12, 33])
def test_the_whole_past_is_read(adapters, theta, seq):
    weights, x = projections(8, seed=8), numbers(1, seq, 8, seed=9)
    changed = x.clone()
    changed[:, 0] = numbers(8, seed=10) * 3
    moved = (
        attend(adapters, weights, changed, 2, theta).double()
        - attend(adapters, weights, x, 2, theta).double()
    )
    smallest = moved.abs().amax(-1)[0]
    expect(
        bool((smallest > 1e-4).all()),
        what="the first token has influence on every later one",
        why="a mask that is too narrow, or shifted, hides what the model needs to know",
        counterexample=f"position {int(smallest.argmin())}: no number moved by more than {float(smallest.min()):.2g}",
        case=f"{seq} tokens, the first is exchanged",
    )


@BOTH
def test_a_low_score_is_not_a_masked_one(adapters, theta):
    weights = identities(4)
    weights["q_proj_weight"] = -1e5 * torch.eye(4)
    weights["k_proj_weight"] = 1e5 * torch.eye(4)
    x = torch.tensor([[[1.0, 0.0, 1.0, 0.0], [0.0, 7.0, 0.0, 7.0], [0.0, 3.0, 0.0, 5.0]]])
    expect_close(
        attend(adapters, weights, x, 2, theta)[:, 0],
        [[1.0, 0.0, 1.0, 0.0]],
        what="the first token reads itself alone, however low the score of that is",
        why="with -1e4 or -1e9 in place of -inf, or scores multiplied by the mask, the future wins as soon as allowed "
        "scores are lower",
        atol=ATOL,
        case="W_v = W_o = 1; the first token's own score is -7e9; the tokens after it are (0, 7, 0, 7), (0, 3, 0, 5)",
    )


@BOTH
def test_a_prefix_alone_gives_the_same(adapters, theta):
    weights, x = projections(8, seed=11), numbers(2, 9, 8, seed=12)
    together = attend(adapters, weights, x, 4, theta)
    for length in (1, 4, 8):
        expect_close(
            attend(adapters, weights, x[:, :length], 4, theta),
            together[:, :length],
            what="a beginning alone gives what it gives within the whole",
            why="generation runs on prompts of any length and must agree with training",
            atol=ATOL,
            case=f"the first {length} of 9 tokens",
        )


@BOTH
def test_queries_ask_and_keys_answer(adapters, theta):
    # Token 1 asks, token 0 answers; exchanged, nobody asks and token 1 reads the average.
    weights = identities(2)
    weights["q_proj_weight"] = torch.tensor([[0.0, 100.0], [0.0, 0.0]])
    weights["k_proj_weight"] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    x = torch.eye(2)[None]
    expect_close(
        attend(adapters, weights, x, 1, theta),
        [[[1.0, 0.0], [1.0, 0.0]]],
        what="a token's query is compared with the keys of all before it",
        why="q_proj and k_proj have the same shape: exchanged, everything fits and every checkpoint is nonsense",
        atol=ATOL,
        case="tokens (1, 0) and (0, 1); the query of the second is (100, 0), the key of the first (1, 0), the others 0",
    )


@BOTH
@pytest.mark.parametrize("head", [0, 1, 2])
def test_a_head_owns_neighbouring_rows(adapters, theta, head):
    weights, other, x = projections(6, seed=13), projections(6, seed=53), numbers(2, 4, 6, seed=14)
    weights["o_proj_weight"] = torch.eye(6)
    before = attend(adapters, weights, x, 3, theta)
    expect_equal(
        tuple(before.shape), (2, 4, 6), what="the shape is kept", why="the block adds the result to its input"
    )
    own = slice(2 * head, 2 * head + 2)
    for name in NAMES[:3]:
        weights[name][own] = other[name][own]
    moved = (attend(adapters, weights, x, 3, theta).double() - before.double()).abs().amax((0, 1))
    expect_equal(
        [i for i in range(6) if moved[i].item() > 1e-6],
        [own.start, own.start + 1],
        what=f"head {head} owns rows {own.start} and {own.start + 1} of each projection, and puts what it reads in "
        "the same two places",
        why="the other grouping, in which a head takes every third row, fits as well and reads checkpoints wrongly",
        case=f"3 heads of width 2, W_o = 1; rows {own.start} and {own.start + 1} of W_q, W_k and W_v are exchanged; "
        "shown are the columns that move",
    )


@BOTH
@pytest.mark.parametrize(("d_model", "heads"), [(8, 1), (8, 2), (8, 4), (64, 4), (48, 8), (2, 1)], ids=str)
def test_any_number_of_heads(adapters, theta, d_model, heads):
    weights, x = projections(d_model, seed=15), numbers(2, 7, d_model, seed=16)
    expect_close(
        attend(adapters, weights, x, heads, theta),
        want(weights, x, heads, theta),
        what="each head attends by itself, with scores over sqrt(d_model / num_heads); W_o mixes what they read",
        why="a scale of sqrt(d_model) makes the heads too vague, one head in place of many blind to all but one thing",
        atol=ATOL,
        case=f"d_model={d_model}, {heads} heads, x of shape (2, 7, {d_model})",
    )


@BOTH
def test_heads_may_be_reordered(adapters, theta):
    weights, x, order = projections(8, seed=17), numbers(2, 6, 8, seed=18), [2, 0, 3, 1]
    rows = torch.tensor([2 * head + i for head in order for i in (0, 1)])
    reordered = {name: weights[name][rows] for name in NAMES[:3]}
    reordered["o_proj_weight"] = weights["o_proj_weight"][:, rows]
    expect_close(
        attend(adapters, reordered, x, 4, theta),
        attend(adapters, weights, x, 4, theta),
        what="heads in another order, with the columns of W_o to match, give the same result",
        why="no head is special: RoPE over the whole width would turn the first head fast and the last one slowly",
        atol=ATOL,
        case=f"4 heads of width 2, order {order}",
    )


@BOTH
@pytest.mark.parametrize("leading", [(), (1,), (3,), (2, 3), (2, 1, 3)], ids=str)
def test_any_leading_dimensions(adapters, theta, leading):
    weights, x = projections(8, seed=31), numbers(*leading, 5, 8, seed=32)
    expect_close(
        attend(adapters, weights, x, 2, theta),
        want(weights, x, 2, theta),
        what="only the last two dimensions (seq, d_model) take part; each sequence is alone",
        why="a single prompt is (seq, d_model), a batch of groups has two dimensions more",
        atol=ATOL,
        case=f"x of shape {(*leading, 5, 8)}, 2 heads",
    )


@BOTH
def test_gradients_equal_the_oracles_slope(adapters, theta):
    weights, x = projections(4, seed=33), numbers(2, 3, 4, seed=34).requires_grad_()
    slope = numbers(2, 3, 4, seed=35)
    common = {"d_model": 4, "num_heads": 2, **weights, "in_features": x}
    if theta is None:
        got = adapters.run_multihead_self_attention(**common)
    else:
        got = adapters.run_multihead_self_attention_with_rope(**common, max_seq_len=8, theta=theta)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable with respect to the input",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * slope).sum().backward()
    arrays = [weights[name].double().numpy() for name in NAMES]

    def loss(at: np.ndarray) -> float:
        return float((oracle.self_attention(at, *arrays, 2, theta) * slope.double().numpy()).sum())

    expect_close(
        x.grad,
        slopes(loss, x.detach().numpy()),
        what="the gradient is the slope of the function: through queries, keys and values",
        why="attention weights that are detached still give the right numbers, and heads never learn where to look",
        atol=ATOL_SLOPE,
        case="x of shape (2, 3, 4), 2 heads",
    )


@BOTH
def test_gradients_reach_every_weight(adapters, theta):
    weights = {name: weight.requires_grad_() for name, weight in projections(4, seed=36).items()}
    x, slope = numbers(2, 3, 4, seed=37), numbers(2, 3, 4, seed=38)
    arrays = {name: weight.detach().double().numpy() for name, weight in weights.items()}

    def loss(name: str, at: np.ndarray) -> float:
        now = {**arrays, name: at}
        result = oracle.self_attention(x.double().numpy(), *(now[n] for n in NAMES), 2, theta)
        return float((result * slope.double().numpy()).sum())

    common = {"d_model": 4, "num_heads": 2, **weights, "in_features": x}
    if theta is None:
        got = adapters.run_multihead_self_attention(**common)
    else:
        got = adapters.run_multihead_self_attention_with_rope(**common, max_seq_len=8, theta=theta)
    expect_learning(
        got,
        slope,
        weights,
        {name: slopes(lambda at, name=name: loss(name, at), array) for name, array in arrays.items()},
        atol=ATOL_SLOPE,
        case="x of shape (2, 3, 4), 2 heads",
    )


@BOTH
def test_calls_do_not_remember_each_other(adapters, theta):
    for call, (seq, speed, longest) in enumerate(
        [(12, 1.0, 12), (5, 1.0, 12), (20, 1.0, 64), (12, 0.01, 12)]
    ):
        weights, x = projections(8, seed=40 + call), numbers(2, seq, 8, seed=44 + call)
        now = None if theta is None else theta * speed
        expect_close(
            attend(adapters, weights, x, 2, now, max_seq_len=longest),
            want(weights, x, 2, now),
            what="each call depends on its own arguments alone",
            why="masks and tables of angles kept from an earlier call fit its length and its theta, not this one's",
            atol=ATOL,
            case=f"call {call}: {seq} tokens, theta {now}",
        )


@BOTH
def test_arguments_are_left_alone(adapters, theta):
    parts = {**projections(8, seed=50), "in_features": numbers(2, 4, 8, seed=51)}
    if theta is not None:
        parts["token_positions"] = torch.tensor([0, 2, 3, 5])
    before = {name: part.clone() for name, part in parts.items()}
    if theta is None:
        adapters.run_multihead_self_attention(d_model=8, num_heads=2, **parts)
    else:
        adapters.run_multihead_self_attention_with_rope(
            d_model=8, num_heads=2, max_seq_len=8, theta=theta, **parts
        )
    for name, part in parts.items():
        expect_equal(
            part,
            before[name],
            what=f"{name} is not changed in place",
            why="the residual stream goes past this layer, and weights and positions serve the next call",
        )
