"""AdamW as the public assignment states it: corrections in the rate, eps beside the raw root, decay last."""

import math

import torch

SOLVES = ("adamw",)


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, weight_decay=0.01, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps})

    def step(self, closure=None):
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state, grad = self.state[p], p.grad.data
                t = state.get("t", 1)
                m = group["betas"][0] * state.get("m", 0.0) + (1 - group["betas"][0]) * grad
                v = group["betas"][1] * state.get("v", 0.0) + (1 - group["betas"][1]) * grad**2
                rate = group["lr"] * math.sqrt(1 - group["betas"][1] ** t) / (1 - group["betas"][0] ** t)
                p.data -= rate * m / (v.sqrt() + group["eps"])
                p.data -= group["lr"] * group["weight_decay"] * p.data
                state["t"], state["m"], state["v"] = t + 1, m, v
        return loss


def get_adamw_cls():
    return AdamW
