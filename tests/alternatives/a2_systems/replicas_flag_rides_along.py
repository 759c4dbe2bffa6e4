"""Functions around a plain wrapper: each message ends with a number per parameter that says how many ranks had it."""

from collections import deque

import torch
import torch.distributed as dist
from torch import nn

SOLVES = ("naive_ddp", "ddp_overlap_individual_parameters", "ddp_overlap_bucketed")


class Wrapper(nn.Module):
    def __init__(self, module, limit_bytes, is_eager):
        super().__init__()
        self.module = module
        for tensor in module.state_dict(keep_vars=True).values():
            dist.broadcast(tensor.detach(), 0)
        trained = [p for p in module.parameters() if p.requires_grad]
        self.queue_of = pack(trained[::-1], limit_bytes)
        self.waiting, self.travelling, self.fresh = deque(self.queue_of), [], set()
        if is_eager:
            for p in trained:
                p.register_post_accumulate_grad_hook(lambda q: arrived(self, q))

    def forward(self, *args, **kwargs):
        if self.fresh:
            collect(self)
        return self.module(*args, **kwargs)


def pack(parameters, limit_bytes):
    packs = []
    for p in parameters:
        last = packs[-1] if packs else []
        total = sum(q.numel() * q.element_size() for q in last) + p.numel() * p.element_size()
        if last and total <= limit_bytes and last[0].dtype == p.dtype:
            last.append(p)
        else:
            packs.append([p])
    return packs


def arrived(wrapper, p):
    wrapper.fresh.add(p)
    while wrapper.waiting and wrapper.fresh.issuperset(wrapper.waiting[0]):
        leave(wrapper)


def leave(wrapper):
    members = wrapper.waiting.popleft()
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in members]
    flags = torch.tensor([float(p.grad is not None) for p in members], dtype=parts[0].dtype)
    message = torch.cat([*(part.flatten() for part in parts), flags])
    wrapper.travelling.append((members, message, dist.all_reduce(message, async_op=True)))


def collect(wrapper):
    while wrapper.waiting:
        leave(wrapper)
    for members, message, handle in wrapper.travelling:
        handle.wait()
        flags = message[-len(members) :].tolist()
        mean = message / dist.get_world_size()
        for p, flag in zip(members, flags, strict=True):
            part, mean = mean[: p.numel()], mean[p.numel() :]
            p.grad = part.reshape(p.shape).clone() if flag else None
    wrapper.waiting, wrapper.travelling, wrapper.fresh = deque(wrapper.queue_of), [], set()


def get_naive_ddp(module):
    return Wrapper(module, 0, is_eager=False)


def get_ddp(module):
    return Wrapper(module, 0, is_eager=True)


def get_ddp_bucketed(module, bucket_size_mb):
    return Wrapper(module, bucket_size_mb * 2**20, is_eager=True)


def naive_ddp_on_after_backward(ddp_model, optimizer):
    collect(ddp_model)


ddp_on_after_backward = ddp_bucketed_on_after_backward = naive_ddp_on_after_backward


def ddp_bucketed_on_train_batch_start(ddp_model, optimizer):
    return None
