"""Collectives by hand: what torch.distributed does behind one name, written as messages from rank to rank.

An all-reduce leaves the sum over all ranks on every rank. Four ways, from the plainest:

    whole_ring_all_reduce   every tensor travels once around the ring, whole
    tree_all_reduce         sums climb a binary tree, the result comes down again: few messages, all of full length
    ring_all_reduce         the tensor is cut into a chunk for each rank; a reduce-scatter, then an all-gather
    two_way_all_reduce      half of it clockwise, half against, where links carry both directions at once

`a2_systems.parallel.collective_costs` says what each costs, and which is the cheapest at which size. All work in place
on contiguous tensors of any length, on any number of ranks, over gloo and NCCL.
"""

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

Whole = Shaped[Tensor, "..."]
Flat = Shaped[Tensor, " _"]


def exchange(messages: list[tuple[Tensor, int]], arrivals: list[tuple[Tensor, int]]) -> None:
    """Send every (tensor, to rank) and receive into every (tensor, from rank), all under way at once.

    Handed over together: NCCL runs what it is given in order, so a ring in which every rank first sends and then
    receives would stand still. Empty tensors stay at home, on both sides alike.
    """
    calls = [dist.P2POp(dist.isend, tensor, to) for tensor, to in messages if tensor.numel()]
    calls += [dist.P2POp(dist.irecv, tensor, source) for tensor, source in arrivals if tensor.numel()]
    for work in dist.batch_isend_irecv(calls) if calls else ():
        work.wait()


def chunks_of(tensor: Whole, ranks: int) -> list[Flat]:
    """The tensor as one chunk for each rank, as views; lengths differ by at most one.

    Raises:
        ValueError: a tensor that does not lie in one piece, so that no view of it is flat.
    """
    if not tensor.is_contiguous():
        raise ValueError(
            f"a collective in place wants a contiguous tensor, got strides {tensor.stride()} for shape "
            f"{tuple(tensor.shape)}; call it on tensor.contiguous() and copy back"
        )
    return list(tensor.detach().view(-1).tensor_split(ranks))


def whole_ring_all_reduce(tensor: Whole) -> None:
    """Each rank passes on what it received last, and adds it: after ranks - 1 rounds everybody has seen everything.

    Every rank sends the full length each time; and each adds in another order, so results may differ in last bits.
    """
    rank, ranks = dist.get_rank(), dist.get_world_size()
    total = chunks_of(tensor, 1)[0]
    travelling, arriving = total.clone(), torch.empty_like(total)
    for _ in range(ranks - 1):
        exchange([(travelling, (rank + 1) % ranks)], [(arriving, (rank - 1) % ranks)])
        total += arriving
        travelling, arriving = arriving, travelling


def ring_reduce_scatter(chunks: list[Flat], direction: int = 1) -> int:
    """Sum every chunk over the ranks; afterwards chunk `i` of rank `i` is whole. Returns that index, the rank.

    In each round a rank sends one chunk on and adds the one that arrives, which it will send next: a chunk grows by
    one rank's part with each hop. The other chunks are left half summed.
    """
    rank, ranks = dist.get_rank(), dist.get_world_size()
    for round_ in range(1, ranks):
        outgoing, incoming = (
            chunks[(rank - direction * round_) % ranks],
            (rank - direction * (round_ + 1)) % ranks,
        )
        arriving = torch.empty_like(chunks[incoming])
        exchange([(outgoing, (rank + direction) % ranks)], [(arriving, (rank - direction) % ranks)])
        chunks[incoming] += arriving
    return rank


def ring_all_gather(chunks: list[Flat], direction: int = 1) -> None:
    """Chunk `i` of rank `i` reaches everybody: each rank passes on the chunk that it received last."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    for round_ in range(ranks - 1):
        outgoing, incoming = (rank - direction * round_) % ranks, (rank - direction * (round_ + 1)) % ranks
        exchange(
            [(chunks[outgoing], (rank + direction) % ranks)],
            [(chunks[incoming], (rank - direction) % ranks)],
        )


def ring_all_reduce(tensor: Whole) -> None:
    """A reduce-scatter, then an all-gather: each rank sends two tensors less two chunks, however many ranks there are.

    Each chunk is added up once, on its way around, so all ranks end with the same bits.

    Source: [patarasuk-2009] section 3.
    """
    chunks = chunks_of(tensor, dist.get_world_size())
    ring_reduce_scatter(chunks)
    ring_all_gather(chunks)


def two_way_all_reduce(tensor: Whole) -> None:
    """Half of the tensor goes around in one direction and half in the other, in the same rounds.

    A ring uses only one direction of every link; where a link carries both at once, this takes half the time.
    """
    rank, ranks = dist.get_rank(), dist.get_world_size()
    halves = [list(half.tensor_split(ranks)) for half in chunks_of(tensor, 2)]
    for round_ in range(1, 2 * ranks - 1):  # the first ranks - 1 of them sum, the others only hand on
        messages, arrivals, sums = [], [], []
        for chunks, direction in zip(halves, (1, -1), strict=True):
            target = chunks[(rank - direction * (round_ + 1)) % ranks]
            arriving = torch.empty_like(target) if round_ < ranks else target
            messages.append((chunks[(rank - direction * round_) % ranks], (rank + direction) % ranks))
            arrivals.append((arriving, (rank - direction) % ranks))
            sums.append((target, arriving))
        exchange(messages, arrivals)
        for target, arriving in sums if round_ < ranks else ():
            target += arriving


def tree_broadcast(tensor: Whole) -> None:
    """Rank 0's tensor on every rank: in each round whoever has it gives it to one more, so those who have it double."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    whole = chunks_of(tensor, 1)[0]
    reach = 1
    while reach < ranks:
        if rank < reach and rank + reach < ranks:
            exchange([(whole, rank + reach)], [])
        elif reach <= rank < 2 * reach:
            exchange([], [(whole, rank - reach)])
        reach *= 2


def tree_reduce(tensor: Whole) -> None:
    """The sum over all ranks, on rank 0; the same tree climbed. The others are left with the sum below them."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    whole = chunks_of(tensor, 1)[0]
    reach = 1 << (ranks - 1).bit_length() >> 1
    while reach:
        if rank < reach and rank + reach < ranks:
            arriving = torch.empty_like(whole)
            exchange([], [(arriving, rank + reach)])
            whole += arriving
        elif reach <= rank < 2 * reach:
            exchange([(whole, rank - reach)], [])
        reach //= 2


def tree_all_reduce(tensor: Whole) -> None:
    """The sum climbs to rank 0 and comes down again: 2 log2(ranks) rounds, where a ring takes 2 (ranks - 1)."""
    tree_reduce(tensor)
    tree_broadcast(tensor)


ALL_REDUCES = {
    "whole ring": whole_ring_all_reduce,
    "tree": tree_all_reduce,
    "ring": ring_all_reduce,
    "two-way ring": two_way_all_reduce,
    "torch": dist.all_reduce,
}
"""Every all-reduce that can be measured against the others; torch's is whatever its backend does."""
