"""Both messages of a round handed over together; one loop for both halves."""

import torch
import torch.distributed as dist

SOLVES = ("ring_all_reduce",)


def run_ring_all_reduce(tensor):
    me, n = dist.get_rank(), dist.get_world_size()
    chunks = tensor.view(-1).tensor_split(n)
    for k in range(2 * (n - 1)):
        out, into = chunks[(me - k) % n], chunks[(me - k - 1) % n]
        got = torch.empty_like(into)
        calls = []
        if out.numel():
            calls.append(dist.P2POp(dist.isend, out, (me + 1) % n))
        if into.numel():
            calls.append(dist.P2POp(dist.irecv, got, (me - 1) % n))
        for work in dist.batch_isend_irecv(calls) if calls else []:
            work.wait()
        if k < n - 1:
            into += got
        else:
            into.copy_(got)
