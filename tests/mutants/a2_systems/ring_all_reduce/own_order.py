"""Every rank sums in the order in which it hears from the others."""

import torch
import torch.distributed as dist

REJECTED_BY = "test_all_ranks_end_with_the_same_bits"


def run_ring_all_reduce(tensor):
    rank, world = dist.get_rank(), dist.get_world_size()
    passing = tensor.clone()
    for _ in range(world - 1 if tensor.numel() else 0):
        arriving = torch.empty_like(tensor)
        works = [dist.isend(passing, (rank + 1) % world), dist.irecv(arriving, (rank - 1) % world)]
        for work in works:
            work.wait()
        tensor += arriving
        passing = arriving
