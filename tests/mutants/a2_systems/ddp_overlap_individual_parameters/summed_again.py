"""Sums gradients in place and divides once: a second backward pass sums the first one's sum again."""

import torch.distributed as dist
from torch import nn

REJECTED_BY = "test_gradients_that_add_up"


class InPlace(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module, self.handles = module, []
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, 0)
        for p in module.parameters():
            if p.requires_grad:
                p.register_post_accumulate_grad_hook(self.send)

    def send(self, p):
        self.handles.append(dist.all_reduce(p.grad, async_op=True))

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


def get_ddp(module):
    return InPlace(module)


def ddp_on_after_backward(ddp_model, optimizer):
    for handle in ddp_model.handles:
        handle.wait()
    ddp_model.handles.clear()
    for p in ddp_model.module.parameters():
        if p.grad is not None:
            p.grad /= dist.get_world_size()
