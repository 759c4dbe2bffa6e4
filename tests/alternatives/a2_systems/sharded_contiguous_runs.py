"""ZeRO-1 by runs of neighbouring parameters, each sent by a broadcast of its own."""

import torch
import torch.distributed as dist

SOLVES = ("optimizer_state_sharding",)


class Sharded(torch.optim.Optimizer):
    def __init__(self, params, optimizer_cls, **kwargs):
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.make, self.inner, self.owner = (lambda group: optimizer_cls([group], **kwargs)), None, {}
        super().__init__(params, kwargs)

    def add_param_group(self, group):
        super().add_param_group(group)
        group = self.param_groups[-1]
        total, seen = sum(p.numel() for p in group["params"]), 0
        for p in group["params"]:
            self.owner[p] = min(self.ranks - 1, (seen + p.numel() // 2) * self.ranks // total)
            seen += p.numel()
        mine = {**group, "params": [p for p in group["params"] if self.owner[p] == self.rank]}
        if self.inner is None:
            self.inner = self.make(mine)
        else:
            self.inner.add_param_group(mine)
        for key, value in self.inner.param_groups[-1].items():
            group.setdefault(key, value)

    def step(self, closure=None, **kwargs):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for outer, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            inner.update({key: value for key, value in outer.items() if key != "params"})
        self.inner.step(**kwargs)
        for group in self.param_groups:
            for p in group["params"]:
                dist.broadcast(p.data, src=self.owner[p])
        return loss

    def state_dict(self):
        return {"inner": self.inner.state_dict(), "outer": super().state_dict()["param_groups"]}

    def load_state_dict(self, state_dict):
        self.inner.load_state_dict(state_dict["inner"])
        super().load_state_dict({"state": {}, "param_groups": state_dict["outer"]})


def get_sharded_optimizer(params, optimizer_cls, **kwargs):
    return Sharded(params, optimizer_cls, **kwargs)
