"""ZeRO-1 with one inner optimizer for each group, parameters dealt out by size, and one flat message for each rank."""

import torch
import torch.distributed as dist

SOLVES = ("optimizer_state_sharding",)


class Sharded(torch.optim.Optimizer):
    def __init__(self, params, optimizer_cls, **kwargs):
        self.optimizer_cls, self.kwargs, self.shares = optimizer_cls, kwargs, []
        super().__init__(params, kwargs)

    def add_param_group(self, group):
        super().add_param_group(group)
        group, ranks = self.param_groups[-1], dist.get_world_size()
        shares, loads = [[] for _ in range(ranks)], [0] * ranks
        for p in sorted(group["params"], key=torch.Tensor.numel, reverse=True):
            least = loads.index(min(loads))
            shares[least].append(p)
            loads[least] += p.numel()
        settings = {key: value for key, value in group.items() if key != "params"}
        inner = self.optimizer_cls([{**settings, "params": shares[dist.get_rank()]}], **self.kwargs)
        self.shares.append((inner, shares))
        self.param_groups[-1] = {**inner.param_groups[0], **group}

    @torch.no_grad()
    def step(self, closure=None, **kwargs):
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group, (inner, shares) in zip(self.param_groups, self.shares, strict=True):
            inner.param_groups[0].update({**group, "params": inner.param_groups[0]["params"]})
            inner.step(**kwargs)
            for rank, share in enumerate(shares):
                if share:
                    flat = torch.cat([p.flatten() for p in share])
                    dist.broadcast(flat, src=rank)
                    for p, new in zip(share, flat.split([p.numel() for p in share]), strict=True):
                        p.copy_(new.view_as(p))
        return loss

    def state_dict(self):
        return {"inner": [inner.state_dict() for inner, _ in self.shares], "outer": super().state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict["outer"])
        for (inner, _), state in zip(self.shares, state_dict["inner"], strict=True):
            inner.load_state_dict(state)


def get_sharded_optimizer(params, optimizer_cls, **kwargs):
    return Sharded(params, optimizer_cls, **kwargs)
