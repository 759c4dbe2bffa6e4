"""Multi-head self-attention and positions: none without RoPE, and with it the ones that were given."""

import pytest
import torch

from tests.a1_basics.small_heads import ATOL, THETA, attend, numbers, projections, want
from tests.harness.explain import expect, expect_close


def test_without_rope_the_past_is_a_set(adapters):
    weights, x = projections(8, seed=19), numbers(2, 6, 8, seed=20)
    expect_close(
        attend(adapters, weights, x[:, [3, 1, 4, 0, 2, 5]], 2)[:, -1],
        attend(adapters, weights, x, 2)[:, -1],
        what="without RoPE the last token reads a set: the order of those before it does not count",
        why="positions in the function that has none come twice in a model that adds its own",
        atol=ATOL,
        case="6 tokens, the first five shuffled; shown is the last",
    )


def test_with_rope_order_counts(adapters):
    weights, x = projections(8, seed=19), numbers(2, 6, 8, seed=20)
    shuffled = attend(adapters, weights, x[:, [3, 1, 4, 0, 2, 5]], 2, THETA)[:, -1].double()
    moved = (shuffled - attend(adapters, weights, x, 2, THETA)[:, -1].double()).abs().max().item()
    expect(
        moved > 1e-2,
        what="with RoPE the order of the tokens before counts",
        why="without positions, 'dog bites man' and 'man bites dog' are one sentence",
        counterexample=f"the first five of 6 tokens shuffled: no number of the last moved by more than {moved:.2g}",
    )


@pytest.mark.parametrize("shift", [1, 40])
def test_only_distances_count(adapters, shift):
    weights, x = projections(8, seed=21), numbers(2, 6, 8, seed=22)
    expect_close(
        attend(adapters, weights, x, 2, THETA, torch.arange(6) + shift),
        attend(adapters, weights, x, 2, THETA, torch.arange(6)),
        what="all positions moved by the same number give the same result",
        why="RoPE shows how far apart tokens are, and nothing else: queries and keys must both be turned, in the same "
        "direction",
        atol=1e-4,  # angles of size 45 carry 4e-6 of rounding, multiplied by scores of size 5
        case=f"positions {shift} to {shift + 5} against 0 to 5",
    )


@pytest.mark.parametrize(
    "positions",
    [
        [0, 1, 2, 3, 4],
        [7, 8, 9, 10, 11],
        [0, 9, 10, 30, 63],
        [[0, 2, 4, 6, 8]],
        [[0, 1, 2, 3, 4], [5, 8, 9, 30, 31]],
    ],
    ids=["as_in_training", "offset", "gaps", "one_row_for_all", "one_row_each"],
)
def test_positions_are_used(adapters, positions):
    weights, x = projections(12, seed=23), numbers(2, 5, 12, seed=24)
    expect_close(
        attend(adapters, weights, x, 3, THETA, positions),
        want(weights, x, 3, THETA, positions),
        what="queries and keys are turned by the positions that were given, the same for every head",
        why="with a cache or padded prompts tokens stand elsewhere than their place in the tensor",
        atol=1e-4,  # angles of size 63
        case=f"x of shape (2, 5, 12), 3 heads, positions {positions}",
    )


def test_positions_default_to_the_place(adapters):
    weights, x = projections(8, seed=25), numbers(2, 6, 8, seed=26)
    expect_close(
        attend(adapters, weights, x, 2, THETA),
        want(weights, x, 2, THETA, range(6)),
        what="token_positions=None means 0, 1, 2, ...",
        why="training passes no positions",
        atol=ATOL,
        case="x of shape (2, 6, 8), 2 heads",
    )


@pytest.mark.parametrize("theta", [2.0, 100.0, 500_000.0])
def test_theta_sets_the_speeds(adapters, theta):
    weights, x = projections(12, seed=27), numbers(2, 6, 12, seed=28)
    expect_close(
        attend(adapters, weights, x, 2, theta),
        want(weights, x, 2, theta),
        what="pair k of a head turns by position * theta ** (-2k / head_dim), with head_dim = d_model / num_heads",
        why="long-context models raise theta; a fixed 10,000, or d_model for head_dim, reads their weights wrongly",
        atol=ATOL,
        case=f"d_model=12, 2 heads of width 6, theta={theta:g}",
    )


@pytest.mark.parametrize("seq", [1, 5, 16])
def test_up_to_max_seq_len(adapters, seq):
    weights, x = projections(8, seed=29), numbers(2, seq, 8, seed=30)
    positions = torch.arange(16 - seq, 16)
    expect_close(
        attend(adapters, weights, x, 2, THETA, positions, max_seq_len=16),
        want(weights, x, 2, THETA, positions),
        what="max_seq_len bounds the positions, up to max_seq_len - 1; x may be shorter",
        why="a table one row short fails on the last token of a full context",
        atol=ATOL,
        case=f"{seq} tokens at positions {16 - seq} to 15, max_seq_len=16",
    )
