"""AdamW that computes each update in float64 and stores what is left in the parameter's dtype."""

import torch

SOLVES = ("adamw",)


class PreciseAdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def moments(self, p):
        if p not in self.state:
            self.state[p] = {"step": torch.tensor(0.0), "moments": torch.zeros(2, *p.shape, dtype=p.dtype)}
        self.state[p]["step"] += 1
        return self.state[p]["step"].item(), self.state[p]["moments"]

    def step(self, closure=None):
        loss = closure() if closure is not None else None
        with torch.no_grad():
            for group in self.param_groups:
                betas = torch.tensor(group["betas"], dtype=torch.float64)
                for p in [p for p in group["params"] if p.grad is not None]:
                    step, stored = self.moments(p)
                    columns = betas.view(2, *[1] * p.dim())
                    gradient = p.grad.double()
                    new = columns * stored.double() + (1 - columns) * torch.stack(
                        (gradient, gradient.square())
                    )
                    stored.copy_(new)
                    mean, square = new / (1 - columns**step)
                    update = mean / (square.sqrt() + group["eps"]) + group["weight_decay"] * p.double()
                    p.copy_(p.double() - group["lr"] * update)
        return loss


def get_adamw_cls():
    return PreciseAdamW
