"""Wraps torch's functional AdamW in a class of its own."""

import torch
from torch.optim.adamw import adamw

REJECTED_BY = "forbidden"


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(step=torch.tensor(0.0), m=torch.zeros_like(p), v=torch.zeros_like(p))
                settings = {key: group[key] for key in ("lr", "eps", "weight_decay")}
                settings.update(
                    beta1=group["betas"][0], beta2=group["betas"][1], amsgrad=False, maximize=False
                )
                adamw([p], [p.grad], [state["m"]], [state["v"]], [], [state["step"]], **settings)


def get_adamw_cls():
    return AdamW
