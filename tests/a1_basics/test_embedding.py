"""The embedding: rows of a table, exactly, for ids of any shape; gradients that add up."""

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_equal
from tests.harness.learning import expect_learning

# Sums of at most five float32 numbers of size 3.
ATOL_SLOPE = 1e-5


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def embedding(adapters, weights, token_ids):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    vocab_size, d_model = weights.shape
    return adapters.run_embedding(
        vocab_size=vocab_size, d_model=d_model, weights=weights.clone(), token_ids=token_ids.clone()
    ).detach()


def test_an_id_picks_its_row(adapters):
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    expect_equal(
        embedding(adapters, table, torch.tensor([2, 0])),
        torch.tensor([[5.0, 6.0], [1.0, 2.0]]),
        what="token id i becomes row i of the table, as it is",
        why="this is the definition; scaled or shifted rows read everybody's checkpoints wrongly",
        case="table [[1, 2], [3, 4], [5, 6]], ids (2, 0)",
    )


def test_every_id_of_the_vocabulary_has_its_row(adapters):
    table = numbers(300, 3, seed=1)
    expect_equal(
        embedding(adapters, table, torch.arange(300)),
        table,
        what="all ids from 0 to vocab_size - 1 are there, each with a row of its own",
        why="ids beyond 255 vanish in a byte, and the last id is often the end-of-text mark",
        case="300 ids in order, d_model=3",
    )


def test_a_square_table_is_used_by_rows(adapters):
    table = numbers(4, 4, seed=2)
    expect_equal(
        embedding(adapters, table, torch.tensor([1, 3])),
        table[[1, 3]],
        what="the first dimension of the table is the vocabulary, also where it is square",
        why="columns in place of rows raise no error when vocab_size equals d_model",
        case="table of shape (4, 4), ids (1, 3)",
    )


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (3, 3), (2, 1, 4), (2, 2, 2, 2)], ids=str)
def test_ids_of_any_shape(adapters, shape):
    table = numbers(7, 5, seed=3)
    ids = np.random.default_rng(4).integers(0, 7, shape)
    want = torch.stack([table[i] for i in ids.ravel().tolist()]).reshape(*shape, 5)
    expect_equal(
        embedding(adapters, table, torch.from_numpy(ids)),
        want,
        what="the result has the shape of the ids and one more dimension, d_model; repeated ids repeat their row",
        why="a batch is (batch, seq), a prompt is (seq,)",
        case=f"ids of shape {shape}, table of shape (7, 5)",
    )


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30], ids=lambda size: f"size {size:g}")
def test_rows_come_back_to_the_last_bit(adapters, size):
    table = numbers(6, 8, seed=5) * size
    expect_equal(
        embedding(adapters, table, torch.tensor([5, 0, 3])),
        table[[5, 0, 3]],
        what="rows come back exactly as they stand in the table: nothing is computed",
        why="a table in bfloat16 keeps two digits of the weights, one in float16 overflows at 65504",
        case=f"table of shape (6, 8) with numbers of size {size:g}, ids (5, 0, 3)",
    )


def test_gradients_of_repeated_tokens_add_up(adapters):
    table, slope = numbers(5, 3, seed=6).requires_grad_(), numbers(2, 4, 3, seed=7)
    ids = torch.tensor([[1, 3, 1, 1], [0, 3, 1, 1]])
    got = adapters.run_embedding(vocab_size=5, d_model=3, weights=table, token_ids=ids)
    want = np.zeros((5, 3))
    for place in np.ndindex(2, 4):
        want[int(ids[place])] += slope.double().numpy()[place]
    expect_learning(
        got,
        slope,
        {"weights": table},
        {"weights": want},
        atol=ATOL_SLOPE,
        case="ids ((1, 3, 1, 1), (0, 3, 1, 1)): row 1 learns from five places, rows 2 and 4 from none",
    )


def test_the_result_is_memory_of_its_own(adapters):
    table, ids = numbers(5, 3, seed=8), torch.tensor([2, 3, 4])
    table_before, ids_before = table.clone(), ids.clone()
    got = adapters.run_embedding(vocab_size=5, d_model=3, weights=table, token_ids=ids)
    why = "whoever adds to the residual stream in place would rewrite the vocabulary"
    expect_equal(table, table_before, what="the table is not changed by looking it up", why=why)
    expect_equal(
        ids, ids_before, what="token_ids is not changed in place", why="they are the targets' neighbours"
    )
    with torch.no_grad():
        got.detach().add_(1.0)
    expect_equal(
        table,
        table_before,
        what="writing into the result does not change the table",
        why=why,
        case="neighbouring ids (2, 3, 4), which a slice would serve too",
    )


def test_calls_do_not_remember_each_other(adapters):
    ids = torch.tensor([[0, 2], [1, 1]])
    tables = [numbers(3, 2, seed=seed) for seed in (9, 10, 9)]
    for table in tables:
        expect_equal(
            embedding(adapters, table, ids),
            table[ids],
            what="each call looks up in its own table",
            why="a table kept from an earlier model of the same size gives fluent nonsense",
            case="three calls, two tables of shape (3, 2)",
        )
    expect(
        not bool((embedding(adapters, tables[0], ids) == embedding(adapters, tables[1], ids)).all()),
        what="another table gives other vectors",
        why="a table kept from an earlier model of the same size gives fluent nonsense",
    )
