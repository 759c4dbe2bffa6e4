"""The library's all-reduce."""

import torch.distributed as dist

REJECTED_BY = "forbidden"


def run_ring_all_reduce(tensor):
    dist.all_reduce(tensor)
