"""Rank 0 collects everything and sends the sum to each."""

import torch
import torch.distributed as dist

REJECTED_BY = "test_no_rank_sends_more_than_a_ring_does"


def run_ring_all_reduce(tensor):
    rank, world = dist.get_rank(), dist.get_world_size()
    if not tensor.numel():
        return
    if rank:
        dist.send(tensor, 0)
        dist.recv(tensor, 0)
        return
    for other in range(1, world):
        part = torch.empty_like(tensor)
        dist.recv(part, other)
        tensor += part
    for other in range(1, world):
        dist.send(tensor, other)
