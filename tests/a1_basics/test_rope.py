"""Rotary position embeddings: laws first (identity, length, distance), then a float64 oracle."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import rope as oracle

# A rotation of unit-size float32 numbers rounds at about 1e-7. Angles below 64 carry up to 4e-6 of rounding
# of their own, and numbers of a few units in size multiply that: 5e-5 covers it, and any wrong law is off by
# 1e-2 or more.
ATOL = 5e-5
# At position 4095 the float32 product position * frequency is off by up to 2.4e-4 radians for an honest
# float32 implementation, twice that when frequency and product both round. Angles in bfloat16 are off by
# whole radians.
ATOL_FAR = 4e-3
# bfloat16 keeps 8 bits: a value of size 4 rounds by up to 2^-7, and an implementation that multiplies two
# rounded numbers and adds rounds three times.
ATOL_BFLOAT16 = 0.06


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def rope(adapters, x, positions, *, theta=10_000.0, max_seq_len=64):
    # A copy goes in: that the caller's x stays as it was is one test's business, not everyone's.
    return adapters.run_rope(
        d_k=x.shape[-1],
        theta=theta,
        max_seq_len=max_seq_len,
        in_query_or_key=x.clone(),
        token_positions=torch.as_tensor(positions),
    )


def test_one_pair_turns_by_its_position(adapters):
    positions = torch.arange(5)
    got = rope(adapters, torch.tensor([[1.0, 0.0]] * 5), positions)
    expect_close(
        got,
        [[math.cos(p), math.sin(p)] for p in range(5)],
        what="(1, 0) at position p becomes (cos p, sin p): the first pair turns one radian per position, "
        "anticlockwise",
        why="turned the other way round, or at another speed, weights from any other program stop working",
        atol=ATOL,
        case="d_k=2, positions 0..4",
    )


def test_position_zero_changes_nothing(adapters):
    x = numbers(2, 3, 8)
    expect_close(
        rope(adapters, x, torch.zeros(3, dtype=torch.long)),
        x,
        what="at position 0 every angle is 0, so the vector comes back as it was",
        why="positions count from 0; a shift by one breaks the agreement with every cache and checkpoint",
        atol=ATOL,
        case="x of shape (2, 3, 8), positions [0, 0, 0]",
    )


@pytest.mark.parametrize("place", range(6))
def test_pairs_are_neighbours(adapters, place):
    x = torch.zeros(1, 6)
    x[0, place] = 1.0
    got = rope(adapters, x, torch.tensor([3]))
    expect_equal(tuple(got.shape), (1, 6), what="the shape is kept", why="queries and keys go on as they are")
    partner = place ^ 1
    elsewhere = [i for i in range(6) if i not in (place, partner)]
    expect_close(
        got[0, elsewhere],
        [0.0] * 4,
        what=f"number {place} of a vector mixes with its neighbour {partner} and with nothing else",
        why="pairs are (0, 1), (2, 3), ... and come back in the same places; pairing k with k + d_k/2, or "
        "putting all first members before all second ones, is another convention and gives fluent nonsense "
        "on import",
        atol=ATOL,
        case=f"d_k=6, position 3, x = 1 at index {place} and 0 elsewhere; shown are indices {elsewhere}",
    )


def test_length_of_every_pair_is_kept(adapters):
    x = numbers(7, 10, seed=1)
    got = rope(adapters, x, torch.arange(7) * 9)
    expect_close(
        got.double().unflatten(-1, (5, 2)).square().sum(-1).sqrt(),
        x.double().unflatten(-1, (5, 2)).square().sum(-1).sqrt(),
        what="turning keeps the length of every pair (2k, 2k+1)",
        why="RoPE must add position without changing how strongly a query or key speaks",
        atol=ATOL,
        case="x of shape (7, 10), positions 0, 9, ..., 54",
    )


@pytest.mark.parametrize("distance", [0, 1, 5])
def test_scores_depend_on_distance_only(adapters, distance):
    query, key = numbers(1, 16, seed=2), numbers(1, 16, seed=3)
    first = np.arange(0, 40, 8)
    scores = (
        rope(adapters, query.expand(5, 16), torch.from_numpy(first + distance)).double()
        * rope(adapters, key.expand(5, 16), torch.from_numpy(first)).double()
    ).sum(-1)
    expect_close(
        scores,
        scores[:1].expand(5),
        what=f"a query {distance} positions after a key scores the same wherever the two stand",
        why="this is what RoPE is for: attention sees how far apart tokens are, so what is learned at the "
        "start of a text holds everywhere",
        atol=1e-3,  # sums of 16 products of size up to 9, each with the rounding of ATOL
        case="scores at key positions 0, 8, 16, 24, 32",
    )
    if distance:
        apart = rope(adapters, query, [distance]).double().sub(query.double()).abs().max().item()
        expect(
            apart > 0.1,
            what="a position other than 0 turns the vector",
            why="a constant function also scores by distance; it just knows no positions",
            counterexample=f"position {distance}: no number moved by more than {apart:.2g}",
        )


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0, 100.0, 2.0])
@pytest.mark.parametrize("d_k", [2, 4, 10])
def test_theta_sets_the_speeds(adapters, d_k, theta):
    x, positions = numbers(9, d_k, seed=4), np.arange(9) * 7
    expect_close(
        rope(adapters, x, positions, theta=theta),
        oracle.rotate(x.numpy(), positions, theta),
        what="pair k turns by position * theta ** (-2k / d_k)",
        why="long-context models raise theta to 500,000 and more; a fixed 10,000, or d_k/2 in place of "
        "d_k, reads their weights wrongly",
        atol=ATOL,
        case=f"d_k={d_k}, theta={theta:g}, positions 0, 7, ..., 56",
    )


@pytest.mark.parametrize(
    "positions",
    [[5, 6, 7, 8], [3, 2, 1, 0], [4, 4, 4, 4], [0, 9, 1, 30]],
    ids=["offset", "reversed", "repeated", "gaps"],
)
def test_positions_are_used(adapters, positions):
    x = numbers(2, 4, 8, seed=5)
    expect_close(
        rope(adapters, x, torch.tensor(positions)),
        oracle.rotate(x.numpy(), np.array(positions), 10_000.0),
        what="the angles follow token_positions, not the place in the tensor",
        why="when text is generated with a cache, one new token stands at position 57 and is row 0 of its "
        "tensor; with arange it would believe to be the first word",
        atol=ATOL,
        case=f"x of shape (2, 4, 8), positions {positions}",
    )


@pytest.mark.parametrize(
    ("x_shape", "positions_shape"),
    [((3, 4, 8), (3, 4)), ((3, 4, 8), (1, 4)), ((2, 3, 4, 8), (2, 1, 4)), ((2, 3, 4, 8), (2, 3, 4))],
    ids=str,
)
def test_positions_may_differ_per_sequence(adapters, x_shape, positions_shape):
    x = numbers(*x_shape, seed=6)
    positions = np.random.default_rng(7).integers(0, 60, positions_shape)
    expect_close(
        rope(adapters, x, positions),
        oracle.rotate(x.numpy(), positions, 10_000.0),
        what="token_positions has leading dimensions like x and broadcasts against them",
        why="in a batch of prompts of different lengths, every row stands at positions of its own",
        atol=ATOL,
        case=f"x of shape {x_shape}, positions of shape {positions_shape}",
    )


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (2, 1, 3), (2, 3, 2, 2)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    x, positions = numbers(*leading, 4, 6, seed=8), np.array([2, 11, 0, 5])
    expect_close(
        rope(adapters, x, positions),
        oracle.rotate(x.numpy(), positions, 10_000.0),
        what="only the last two dimensions (seq, d_k) matter; any number may lead",
        why="the same function serves (batch, seq, d) and (batch, heads, seq, d)",
        atol=ATOL,
        case=f"x of shape {(*leading, 4, 6)}, positions of shape (4,)",
    )


def test_every_position_below_max_seq_len_is_there(adapters):
    x, positions = numbers(2, 8, seed=9), np.array([4094, 4095])
    expect_close(
        rope(adapters, x, positions, max_seq_len=4096),
        oracle.rotate(x.numpy(), positions, 10_000.0),
        what="positions up to max_seq_len - 1 work, to float32 precision, however short x is",
        why="a table one row short fails only on the very last token of a full context",
        atol=ATOL_FAR,
        case="x of shape (2, 8), positions [4094, 4095], max_seq_len 4096",
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_dtype_is_kept_and_angles_are_precise(adapters, dtype):
    x, positions = numbers(3, 8, seed=10).to(dtype), np.array([1, 1000, 1001])
    got = rope(adapters, x, positions, max_seq_len=1024)
    expect_equal(
        str(got.dtype),
        str(dtype),
        what="the result has the dtype of x",
        why="a float32 query against a bfloat16 key raises an error, or silently doubles the memory of "
        "attention",
    )
    expect_close(
        got,
        oracle.rotate(x.double().numpy(), positions, 10_000.0),
        what="angles, cosines and sines are computed in at least float32, whatever the dtype of x",
        why="bfloat16 has 8 bits: positions 1000 and 1001 are the same number there, and so would be the "
        "angles",
        atol=ATOL_BFLOAT16 if dtype == torch.bfloat16 else ATOL_FAR,
        case=f"x of shape (3, 8) and {dtype}, positions [1, 1000, 1001]",
    )


def test_gradients_turn_back(adapters):
    x, positions = numbers(3, 6, seed=11).requires_grad_(), np.array([1, 8, 20])
    slope = numbers(3, 6, seed=12)
    got = rope(adapters, x, positions)
    expect(
        bool(got.requires_grad),
        what="the result is differentiable with respect to x",
        why="with detach() or no_grad inside, the projections before RoPE never learn",
        counterexample="x.requires_grad is True, the result's is False",
    )
    (got * slope).sum().backward()
    expect_close(
        x.grad,
        oracle.rotate(slope.numpy(), -positions, 10_000.0),
        what="the gradient of a rotation is the rotation backwards",
        why="a wrong gradient lets the loss fall, only slower, and no error tells",
        atol=ATOL,
        case="x of shape (3, 6), positions [1, 8, 20]",
    )


def test_arguments_are_left_alone(adapters):
    x, positions = numbers(2, 4, 8, seed=13), torch.tensor([3, 1, 4, 1])
    x_before, positions_before = x.clone(), positions.clone()
    adapters.run_rope(d_k=8, theta=1e4, max_seq_len=8, in_query_or_key=x, token_positions=positions)
    why = "the caller may use the same queries again, unrotated: a second rotation doubles every angle"
    expect_equal(x, x_before, what="x is not changed in place", why=why)
    expect_equal(positions, positions_before, what="token_positions is not changed in place", why=why)


def test_calls_do_not_remember_each_other(adapters):
    x, positions = numbers(4, 8, seed=14), np.array([0, 3, 7, 15])
    for theta, max_seq_len in [(10_000.0, 16), (100.0, 16), (10_000.0, 64), (10_000.0, 16)]:
        at = positions if max_seq_len == 16 else positions * 4
        expect_close(
            rope(adapters, x, at, theta=theta, max_seq_len=max_seq_len),
            oracle.rotate(x.numpy(), at, theta),
            what="each call depends on its own arguments alone",
            why="two models with different theta or context live in one process when one is compared with "
            "the other; a cache of angles must be keyed by everything that makes them",
            atol=ATOL,
            case=f"theta={theta:g}, max_seq_len={max_seq_len}, positions {at.tolist()}, after other calls",
        )
