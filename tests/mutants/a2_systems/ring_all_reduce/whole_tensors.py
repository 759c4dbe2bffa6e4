"""Passes whole tensors on."""

import torch
import torch.distributed as dist

REJECTED_BY = "test_no_rank_sends_more_than_a_ring_does"


def run_ring_all_reduce(tensor):
    rank, world = dist.get_rank(), dist.get_world_size()
    parts = [torch.empty_like(tensor) for _ in range(world)]
    parts[rank].copy_(tensor)
    for k in range(world - 1 if tensor.numel() else 0):
        works = [
            dist.isend(parts[(rank - k) % world], (rank + 1) % world),
            dist.irecv(parts[(rank - k - 1) % world], (rank - 1) % world),
        ]
        for work in works:
            work.wait()
    tensor.copy_(torch.stack(parts).sum(0))
