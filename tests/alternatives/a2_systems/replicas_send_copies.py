"""Copies travel, gradients stay: what arrives for an unfinished sum is thrown away, and the whole sum is sent later."""

import torch
import torch.distributed as dist
from torch import nn

SOLVES = ("naive_ddp", "ddp_overlap_individual_parameters", "ddp_overlap_bucketed")


def equal_start(module):
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.data, src=0)


class Naive(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module
        equal_start(module)

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def average(self):
        for p in self.module.parameters():
            if not p.requires_grad:
                continue
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            dist.all_reduce(p.grad)
            p.grad /= dist.get_world_size()


class Copies(nn.Module):
    def __init__(self, module, limit):
        super().__init__()
        self.module = module
        equal_start(module)
        self.groups, room, dtype = [], 0, None
        for p in [p for p in module.parameters() if p.requires_grad][::-1]:
            size = p.numel() * p.element_size()
            if size > room or p.dtype != dtype:
                self.groups.append([])
                room, dtype = limit, p.dtype
            self.groups[-1].append(p)
            room -= size
        self.place = {p: i for i, group in enumerate(self.groups) for p in group}
        self.arrived, self.messages = [0] * len(self.groups), []
        for p in self.place:
            p.register_post_accumulate_grad_hook(self.ready)

    def ready(self, p):
        self.arrived[self.place[p]] += 1
        while len(self.messages) < len(self.groups):
            following = len(self.messages)
            if self.arrived[following] < len(self.groups[following]):
                break
            self.send()

    def send(self):
        group = self.groups[len(self.messages)]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in group]
        message = torch.cat([g.flatten() for g in grads])
        self.messages.append((message, dist.all_reduce(message, async_op=True)))

    def drain(self):
        while len(self.messages) < len(self.groups):
            self.send()
        for _, handle in self.messages:
            handle.wait()
        done = [message / dist.get_world_size() for message, _ in self.messages]
        self.arrived, self.messages = [0] * len(self.groups), []
        return done

    def forward(self, *args, **kwargs):
        if any(self.arrived) and torch.is_grad_enabled():
            self.drain()
        return self.module(*args, **kwargs)

    def average(self):
        for group, mean in zip(self.groups, self.drain(), strict=True):
            start = 0
            for p in group:
                p.grad = mean[start : start + p.numel()].view_as(p).clone()
                start += p.numel()


def get_naive_ddp(module):
    return Naive(module)


def naive_ddp_on_after_backward(ddp_model, optimizer):
    ddp_model.average()


def get_ddp(module):
    return Copies(module, limit=0)


def ddp_on_after_backward(ddp_model, optimizer):
    ddp_model.average()


def get_ddp_bucketed(module, bucket_size_mb):
    return Copies(module, limit=bucket_size_mb * 1e6)


def ddp_bucketed_on_after_backward(ddp_model, optimizer):
    ddp_model.average()


def ddp_bucketed_on_train_batch_start(ddp_model, optimizer):
    pass
