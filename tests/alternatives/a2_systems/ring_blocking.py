"""Blocking messages: the last rank receives first, so that the ring can begin to turn."""

import torch
import torch.distributed as dist

SOLVES = ("ring_all_reduce",)


def shift(outgoing, incoming, rank, world):
    right, left = (rank + 1) % world, (rank - 1) % world
    if rank == world - 1:
        dist.recv(incoming, left)
        dist.send(outgoing, right)
    else:
        dist.send(outgoing, right)
        dist.recv(incoming, left)


def run_ring_all_reduce(tensor):
    rank, world = dist.get_rank(), dist.get_world_size()
    if world == 1:
        return tensor
    flat = tensor.view(-1)
    bounds = [i * flat.numel() // world for i in range(world + 1)]
    parts = [flat[bounds[i] : bounds[i + 1]] for i in range(world)]
    for k in range(world - 1):
        target = parts[(rank - k - 1) % world]
        buffer = torch.empty_like(target)
        shift(parts[(rank - k) % world].clone(), buffer, rank, world)
        target.add_(buffer)
    for k in range(world - 1):
        target = parts[(rank - k) % world]
        buffer = torch.empty_like(target)
        shift(parts[(rank + 1 - k) % world].clone(), buffer, rank, world)
        target.copy_(buffer)
    return tensor
