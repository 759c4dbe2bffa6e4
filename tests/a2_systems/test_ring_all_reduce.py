"""An all-reduce by hand: the sum on every rank, by messages between ranks alone, no more bytes than a ring."""

import math

import pytest
import torch

from tests.harness.explain import expect, expect_equal
from tests.harness.ranks import Collectives, on_ranks

SHAPES = [(12,), (13,), (5, 7), (2,), (1,), (), (0,)]


def part_of(rank: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Small whole numbers, exact in every dtype and every order of adding; another number on each rank."""
    return ((torch.arange(math.prod(shape)) % 7 + 1) * (rank + 1)).to(dtype).reshape(shape)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_every_rank_has_the_sum(adapters, ranks):
    def reduced(rank: int) -> list[torch.Tensor]:
        tensors = [part_of(rank, shape) for shape in SHAPES]
        for tensor in tensors:
            adapters.run_ring_all_reduce(tensor)
        return tensors

    for rank, tensors in enumerate(on_ranks(ranks, reduced)):
        for got, shape in zip(tensors, SHAPES, strict=True):
            expect_equal(
                got,
                torch.stack([part_of(other, shape) for other in range(ranks)]).sum(0),
                what="afterwards the tensor itself holds the sum over all ranks, on every rank",
                why="a gradient that misses one rank's part, or has it twice, still goes down",
                case=f"shape {shape}, rank {rank} of {ranks}",
            )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64], ids=str)
def test_other_dtypes(adapters, dtype):
    def reduced(rank: int) -> torch.Tensor:
        tensor = part_of(rank, (9,), dtype)
        if dtype == torch.int64:
            tensor += 2**40 * (rank + 1)
        adapters.run_ring_all_reduce(tensor)
        return tensor

    want = part_of(0, (9,), dtype) * 3 + (3 * 2**40 if dtype == torch.int64 else 0)
    for got in on_ranks(2, reduced):
        expect_equal(
            [str(got.dtype), *got.tolist()],
            [str(dtype), *want.tolist()],
            what="the sum is made in the tensor's own dtype",
            why="counts of tokens and 64-bit sums go through the same call",
            case=f"{dtype}, 9 numbers, 2 ranks",
        )


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_no_rank_sends_more_than_a_ring_does(adapters, ranks):
    size = 120

    def counted(rank: int) -> tuple[int, int, list[str]]:
        with Collectives() as log:
            adapters.run_ring_all_reduce(part_of(rank, (size,)))
        return log.sent_bytes("send"), log.count("send"), sorted({name for name, _ in log.calls})

    allowed = 2 * (ranks - 1) * 4 * size // ranks
    for rank, (sent, messages, names) in enumerate(on_ranks(ranks, counted)):
        case = f"{size} float32, rank {rank} of {ranks}"
        expect(
            set(names) <= {"send", "recv"},
            what="ranks talk by send and receive alone",
            why="the library's collectives are what this problem builds",
            counterexample=f"seen: {', '.join(names)}",
            case=case,
        )
        expect(
            sent <= allowed,
            what="no rank sends more than 2 (N - 1) / N times the tensor",
            why="with whole tensors, or all through one rank, the time grows with the number of devices; a ring's "
            "stays below two tensors",
            counterexample=f"sent {sent} bytes in {messages} messages, allowed {allowed}",
            case=case,
        )


def test_all_ranks_end_with_the_same_bits(adapters):
    def reduced(rank: int) -> torch.Tensor:
        tensor = torch.randn(50, generator=torch.Generator().manual_seed(rank))
        adapters.run_ring_all_reduce(tensor)
        return tensor

    first, *others = on_ranks(3, reduced)
    for rank, other in enumerate(others, 1):
        expect_equal(
            other,
            first,
            what="the result has the same bits on all ranks",
            why="weights that differ in the last bit drift apart: sum each chunk once, and pass on the sum",
            case=f"50 random float32, rank {rank} against rank 0 of 3",
        )


def test_calls_one_after_another(adapters):
    def reduced(rank: int) -> list[torch.Tensor]:
        tensor = part_of(rank, (10,))
        before = tensor.data_ptr()
        for _ in range(3):
            adapters.run_ring_all_reduce(tensor)
        expect(
            tensor.data_ptr() == before,
            what="the result lies in the memory of the tensor",
            why="gradients are views of larger buffers",
        )
        return [tensor]

    for (got,) in on_ranks(3, reduced):
        expect_equal(
            got,
            part_of(0, (10,)) * 6 * 9,
            what="calls do not disturb one another",
            why="a message that is left over is taken for one of the next call",
            case="three calls on the same tensor, 3 ranks: 1 + 2 + 3 times a part, then three times it twice",
        )
