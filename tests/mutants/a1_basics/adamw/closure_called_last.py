"""Calls the closure after the update: each step uses the gradient of the one before."""

import torch

REJECTED_BY = "test_closure_is_called_once_with_gradients_on"


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
                state["t"] += 1
                t, m, v, g = state["t"], state["m"], state["v"], p.grad
                m.mul_(beta1).add_(g, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
                root = (v / (1 - beta2**t)).sqrt() + group["eps"]
                p.mul_(1 - lr * group["weight_decay"])
                p.addcdiv_(m / (1 - beta1**t), root, value=-lr)
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        return loss


def get_adamw_cls():
    return AdamW
