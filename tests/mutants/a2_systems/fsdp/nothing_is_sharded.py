"""Every rank keeps everything, and averages the gradients: right numbers, and nothing saved."""

import torch
import torch.distributed as dist
from torch import nn

REJECTED_BY = "test_each_rank_has_its_share"


class Copies(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, src=0)

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


def get_fsdp(module, compute_dtype=None):
    return Copies(module)


def fsdp_on_after_backward(fsdp_model, optimizer):
    for p in fsdp_model.parameters():
        if p.requires_grad:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            dist.all_reduce(p.grad)
            p.grad /= dist.get_world_size()


def fsdp_gather_full_params(fsdp_model):
    return {name: p.detach().clone() for name, p in fsdp_model.module.named_parameters()}
