"""Evaluation over ranks: the very number of one rank, for its share of the work."""

import numpy as np
import pytest
import torch

from a2_systems.parallel.evaluation import evaluate_on_ranks
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.runs.ranks import Ranks, current
from tests.harness.ranks import on_ranks

CONTEXT, BATCH = 8, 2
TOKENS = np.random.default_rng(0).integers(
    0, 11, 6 * BATCH * CONTEXT + 5
)  # six whole batches, and a part of one
TOKEN_BYTES = np.arange(11)


def evaluated(ranks, num_batches, tokens=TOKENS):
    parts, calls = door("a1_basics"), []
    torch.manual_seed(0)
    model = parts.build_model(ModelConfig(11, CONTEXT, d_model=8, num_layers=1, num_heads=2, d_ff=8))

    def evaluate(some):
        calls.append(len(some))
        return parts.evaluate_model(model, some, TOKEN_BYTES, CONTEXT, BATCH)

    found = evaluate_on_ranks(evaluate, tokens, CONTEXT, BATCH, num_batches, ranks)
    whole = parts.evaluate_model(model, tokens, TOKEN_BYTES, CONTEXT, BATCH, max_batches=num_batches)
    sums = [[each.nats, each.tokens, each.num_bytes] for each in (found, whole)]
    return sums, len(calls)


@pytest.mark.parametrize(("num_batches", "batches_each"), [(100, [7, 4, 3]), (4, [4, 2, 2]), (1, [1, 1, 1])])
def test_ranks_share_the_text_and_agree_with_one_to_the_last_bit(num_batches, batches_each):
    for num_ranks, wanted in zip((1, 2, 3), batches_each, strict=True):
        for (found, whole), num_calls in on_ranks(num_ranks, lambda rank: evaluated(current(), num_batches)):
            assert found == whole
            assert num_calls == wanted


def test_a_text_shorter_than_a_window_is_evaluated():
    (found, whole), _ = evaluated(Ranks(), 3, TOKENS[:5])
    assert found == whole
    assert found[1] == 4
