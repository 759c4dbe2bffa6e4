"""No ring, and the same bytes: each rank collects its own chunk from everybody, and sends the sum to everybody."""

import torch
import torch.distributed as dist

SOLVES = ("ring_all_reduce",)


def run_ring_all_reduce(tensor):
    rank, world = dist.get_rank(), dist.get_world_size()
    parts = tensor.view(-1).tensor_split(world)
    mine = parts[rank]
    others = [other for other in range(world) if other != rank]
    boxes = {other: torch.empty_like(mine) for other in others}
    works = [dist.isend(parts[other].contiguous(), other) for other in others]
    works += [dist.irecv(boxes[other], other) for other in others]
    for work in works:
        work.wait()
    for other in others:
        mine += boxes[other]
    works = [dist.isend(mine, other) for other in others]
    works += [dist.irecv(parts[other], other) for other in others]
    for work in works:
        work.wait()
