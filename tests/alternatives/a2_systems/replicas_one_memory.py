"""All gradients have a place in one memory for each dtype; messages are stretches of it, and means are read from it."""

import torch
import torch.distributed as dist
from torch import nn

SOLVES = ("naive_ddp", "ddp_overlap_individual_parameters", "ddp_overlap_bucketed")


class OneMemory(nn.Module):
    def __init__(self, module, limit_bytes=None):
        super().__init__()
        self.module = module
        self.world = dist.get_world_size()
        with torch.no_grad():
            for tensor in [*module.parameters(), *module.buffers()]:
                dist.broadcast(tensor, 0)
        self.parameters_ = [p for p in reversed(list(module.parameters())) if p.requires_grad]
        self.memory = {}  # dtype -> numbers
        for p in self.parameters_:
            size = self.memory[p.dtype].numel() if p.dtype in self.memory else 0
            self.memory[p.dtype] = torch.zeros(size + p.numel(), dtype=p.dtype)
        used = dict.fromkeys(self.memory, 0)
        self.place, self.stretches = {}, []
        for p in self.parameters_:
            begin, end = used[p.dtype], used[p.dtype] + p.numel()
            used[p.dtype] = end
            self.place[p] = self.memory[p.dtype][begin:end].view_as(p)
            last = self.stretches[-1] if self.stretches else None
            width = p.element_size()
            if limit_bytes is None and last and last["dtype"] == p.dtype:
                fits = True
            else:
                fits = (
                    last and last["dtype"] == p.dtype and (end - last["begin"]) * width <= (limit_bytes or 0)
                )
            if fits:
                last["end"] = end
                last["members"].append(p)
            else:
                self.stretches.append({"dtype": p.dtype, "begin": begin, "end": end, "members": [p]})
        self.handles, self.here = [], set()
        if limit_bytes is not None:
            for p in self.parameters_:
                p.register_post_accumulate_grad_hook(self.hook)

    def forward(self, *args, **kwargs):
        self.settle()
        return self.module(*args, **kwargs)

    def hook(self, p):
        self.here.add(p)
        while len(self.handles) < len(self.stretches):
            if not self.here.issuperset(self.stretches[len(self.handles)]["members"]):
                return
            self.launch(self.stretches[len(self.handles)])

    def launch(self, stretch):
        for p in stretch["members"]:
            if p.grad is None:
                self.place[p].zero_()
            else:
                self.place[p].copy_(p.grad)
        numbers = self.memory[stretch["dtype"]][stretch["begin"] : stretch["end"]]
        self.handles.append(dist.all_reduce(numbers, async_op=True))

    def settle(self):
        if self.here:
            self.finish()

    def finish(self):
        for stretch in self.stretches[len(self.handles) :]:
            self.launch(stretch)
        for handle in self.handles:
            handle.wait()
        for p in self.parameters_:
            p.grad = self.place[p] / self.world
        self.handles, self.here = [], set()


def get_naive_ddp(module):
    return OneMemory(module)


def get_ddp(module):
    return OneMemory(module, 0)


def get_ddp_bucketed(module, bucket_size_mb):
    return OneMemory(module, bucket_size_mb * 1024 * 1024)


def naive_ddp_on_after_backward(ddp_model, optimizer):
    ddp_model.finish()


def ddp_on_after_backward(ddp_model, optimizer):
    ddp_model.finish()


def ddp_bucketed_on_after_backward(ddp_model, optimizer):
    ddp_model.finish()


def ddp_bucketed_on_train_batch_start(ddp_model, optimizer):
    assert not ddp_model.handles or ddp_model.here
