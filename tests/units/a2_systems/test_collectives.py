"""Collectives by hand against sums that are known, their bytes against the cost model, on several ranks."""

import math

import pytest
import torch
import torch.distributed as dist

from a2_systems.parallel import collectives
from a2_systems.parallel.collective_costs import (
    COSTS,
    Cost,
    Link,
    cheapest,
    fitted_link,
    ring_cost,
    tree_cost,
    two_way_ring_cost,
    whole_ring_cost,
)
from tests.harness.ranks import Collectives, on_ranks

WORLDS = [1, 2, 3, 4]
SHAPES = [(), (1,), (3,), (7, 5), (64,), (0,)]
BY_HAND = [name for name in collectives.ALL_REDUCES if name != "torch"]


def part_of(rank: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Whole numbers, so that every order of adding gives the same bits; different on each rank."""
    numbers = torch.arange(math.prod(shape), dtype=torch.float32) * (rank + 1) + 100 * rank
    return numbers.reshape(shape)


@pytest.mark.parametrize("ranks", WORLDS)
def test_every_all_reduce_is_the_sum_on_every_rank(ranks):
    def reduced(rank: int) -> dict[str, list[torch.Tensor]]:
        found = {}
        for name in collectives.ALL_REDUCES:
            found[name] = [part_of(rank, shape) for shape in SHAPES]
            for tensor in found[name]:
                collectives.ALL_REDUCES[name](tensor)
        return found

    wanted = [sum((part_of(rank, shape) for rank in range(ranks)), torch.zeros(shape)) for shape in SHAPES]
    for found in on_ranks(ranks, reduced):
        for name, tensors in found.items():
            for got, want, shape in zip(tensors, wanted, SHAPES, strict=True):
                assert torch.equal(got, want), (name, shape)


@pytest.mark.parametrize("name", ["ring", "two-way ring", "tree"])
def test_all_ranks_end_with_the_same_bits(name):
    def reduced(rank: int) -> torch.Tensor:
        tensor = torch.randn(101, generator=torch.Generator().manual_seed(rank))
        collectives.ALL_REDUCES[name](tensor)
        return tensor

    first, *others = on_ranks(3, reduced)
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("ranks", [1, 3, 4])
def test_parts_of_the_ring_do_what_they_say(ranks):
    def parts(rank: int) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        chunks = collectives.chunks_of(part_of(rank, (11,)), ranks)
        own = chunks[collectives.ring_reduce_scatter(chunks)].clone()
        gathered = [torch.full((2,), float(rank)) if i == rank else torch.zeros(2) for i in range(ranks)]
        collectives.ring_all_gather(gathered)
        root = torch.full((3,), float(rank + 7))
        collectives.tree_broadcast(root)
        return own, gathered, root

    total = sum((part_of(rank, (11,)) for rank in range(ranks)), torch.zeros(11)).tensor_split(ranks)
    for rank, (own, gathered, root) in enumerate(on_ranks(ranks, parts)):
        assert torch.equal(own, total[rank])
        assert [tensor[0].item() for tensor in gathered] == list(range(ranks))
        assert root.tolist() == [7.0] * 3


SIZES = {2: 12, 3: 13, 4: 16}


@pytest.mark.parametrize(("ranks", "size"), SIZES.items())
def test_bytes_sent_are_those_of_the_cost_model(ranks, size):
    def counted(rank: int) -> dict[str, list[int]]:
        found = {}
        for name in BY_HAND:
            with Collectives() as log:
                collectives.ALL_REDUCES[name](part_of(rank, (size,)))
            found[name] = [log.sent_bytes("send"), log.count("send"), len(log.calls)]
            assert log.count("send") + log.count("recv") == len(log.calls), "only messages from rank to rank"
        return found

    found = on_ranks(ranks, counted)
    for name in BY_HAND:
        cost, sent = COSTS[name](4 * size, ranks), [each[name][0] for each in found]
        assert sum(sent) == cost.total_bytes, name
        # A chunk is rounded up to whole numbers of 4 bytes, in each of the rounds, and in both halves.
        assert abs(max(sent) - cost.rank_bytes) <= (0 if size % (2 * ranks) == 0 else 2 * 4 * cost.rounds), (
            name
        )


def test_a_tensor_in_pieces_is_refused():
    def refused(rank: int) -> str:
        with pytest.raises(ValueError, match=r"strides \(1, 3\) for shape \(3, 2\)") as caught:
            collectives.ring_all_reduce(torch.ones(2, 3).t())
        return str(caught.value)

    assert "contiguous()" in on_ranks(1, refused)[0]


def test_costs_by_hand():
    assert whole_ring_cost(100, 4) == Cost(3, 300.0, 300.0, 1200)
    assert ring_cost(100, 4) == Cost(6, 150.0, 150.0, 600)
    assert two_way_ring_cost(100, 4) == Cost(6, 75.0, 150.0, 600)
    assert tree_cost(100, 4) == Cost(4, 400.0, 200.0, 600)
    assert ring_cost(100, 4).seconds(Link(50.0, 1.0)) == 6 + 3
    for cost in COSTS.values():
        assert cost(100, 1) == Cost(0, 0.0, 0.0, 0), "one rank has nobody to talk to"


def test_the_tree_wins_small_and_the_ring_wins_large_and_they_cross_where_the_model_says():
    link, ranks = Link(1e9, 1e-5), 16
    # 8 rounds of S bytes against 30 rounds of S / 16: 22 latencies are worth 8 - 30 / 16 tensors.
    crossing = (30 - 8) * 1e-5 / ((8 - 30 / 16) / 1e9)
    assert cheapest(int(0.99 * crossing), ranks, link) == "tree"
    assert cheapest(int(1.01 * crossing), ranks, link) == "ring"


@pytest.mark.parametrize("link", [Link(3e9, 2e-5), Link(1e6, 1e-3)])
def test_a_fit_finds_the_link_that_made_the_times(link):
    costs = [ring_cost(size, 4) for size in (1_000, 100_000, 10_000_000)]
    found = fitted_link([(cost, cost.seconds(link)) for cost in costs])
    assert found.seconds_per_message == pytest.approx(link.seconds_per_message, rel=1e-6)
    assert found.bytes_per_second == pytest.approx(link.bytes_per_second, rel=1e-6)


def test_a_fit_never_finds_a_negative_latency_and_says_when_it_cannot_tell():
    costs = [ring_cost(size, 4) for size in (1_000, 2_000)]
    steep = fitted_link([(costs[0], 1.0), (costs[1], 4.0)])
    assert steep.seconds_per_message == 0.0
    assert steep.bytes_per_second > 0
    flat = fitted_link([(costs[0], 4.0), (costs[1], 1.0)])
    assert flat.bytes_per_second == math.inf
    assert flat.seconds_per_message > 0
    with pytest.raises(ValueError, match="several sizes"):
        fitted_link([(costs[0], 1.0)])
    with pytest.raises(ValueError, match="several sizes"):
        fitted_link([(costs[0], 1.0), (costs[0], 1.1)])


def test_no_collective_of_torch_is_used(monkeypatch):
    def none(*_: object, **__: object) -> None:
        raise AssertionError("a collective of torch was called")

    for name in ("all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce", "all_to_all"):
        monkeypatch.setattr(dist, name, none)

    def by_hand(rank: int) -> list[float]:
        tensors = [torch.ones(5) for _ in BY_HAND]
        for name, tensor in zip(BY_HAND, tensors, strict=True):
            collectives.ALL_REDUCES[name](tensor)
        return [tensor.sum().item() for tensor in tensors]

    assert on_ranks(3, by_hand) == [[15.0] * len(BY_HAND)] * 3
