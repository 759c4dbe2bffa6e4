"""ZeRO-1 whose message is a sum: each rank clears what it does not own, and all add up."""

import torch
import torch.distributed as dist

SOLVES = ("optimizer_state_sharding",)


class Sharded(torch.optim.Optimizer):
    def __init__(self, params, optimizer_cls, **kwargs):
        self.inner, self.mine, self.loads = None, set(), [0] * dist.get_world_size()
        self.build = lambda groups: optimizer_cls(groups, **kwargs)
        super().__init__(params, kwargs)

    def add_param_group(self, group):
        super().add_param_group(group)
        for p in self.param_groups[-1]["params"]:
            least = min(range(len(self.loads)), key=self.loads.__getitem__)
            self.loads[least] += p.numel()
            if least == dist.get_rank():
                self.mine.add(p)
        part = self.part(self.param_groups[-1])
        if self.inner is None:
            self.inner = self.build([part])
        else:
            self.inner.add_param_group(part)
        self.param_groups[-1] = {**self.inner.param_groups[-1], **self.param_groups[-1]}

    def part(self, group):
        return {**group, "params": [p for p in group["params"] if p in self.mine]}

    def step(self, closure=None):
        for group, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            inner.update(self.part(group))
        loss = self.inner.step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p not in self.mine:
                    p.data.zero_()
                dist.all_reduce(p.data)
        return loss

    def state_dict(self):
        return {"inner": self.inner.state_dict(), "outer": super().state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict["outer"])
        self.inner.load_state_dict(state_dict["inner"])


def get_sharded_optimizer(params, optimizer_cls, **kwargs):
    return Sharded(params, optimizer_cls, **kwargs)
