"""A table's rows: the gradient of plain indexing, and the same bits in every run, whatever the threads."""

import pytest
import torch

from a1_basics.model.fused import fused_rows
from a1_basics.model.layers import Embedding

MANY = (
    16,
    256,
)  # ids of rows of 16 numbers: above the 32,768 from which plain indexing adds up with several threads


def gradient(rows_of, table, ids, weights):
    table = table.clone().requires_grad_()
    (rows_of(table, ids) * weights).sum().backward()
    return table.grad


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), MANY])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_indexing(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(9, 16, generator=generator, dtype=dtype)
    ids = torch.randint(9, shape, generator=generator)
    weights = torch.randn(*shape, 16, generator=generator, dtype=dtype)
    assert torch.equal(fused_rows(table, ids), table[ids])
    expected = gradient(lambda table, ids: table[ids], table.double(), ids, weights.double())
    found = gradient(fused_rows, table, ids, weights)
    # some 500 numbers of size one add up in each entry: their rounding, with room for the order
    tolerance = 1e-12 if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)


def test_gradients_of_two_runs_are_equal_to_the_bit():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(9, MANY, generator=generator)
    weights = torch.randn(*MANY, 16, generator=generator)
    embedding = Embedding(9, 16)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        runs = []
        for _ in range(20):
            embedding.zero_grad()
            (embedding(ids) * weights).sum().backward()
            runs.append(embedding.weight.grad.clone())
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(run, runs[0]) for run in runs)
