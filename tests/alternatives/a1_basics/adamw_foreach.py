"""AdamW over lists of tensors, parameters of equal age together."""

import torch

SOLVES = ("adamw",)


class ListAdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure and torch.enable_grad()(closure)()
        for group in self.param_groups:
            ages = {}
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    state["age"] = state.get("age", 0) + 1
                    state.setdefault("mean", torch.zeros_like(p))
                    state.setdefault("square", torch.zeros_like(p))
                    ages.setdefault(state["age"], []).append(p)
            for age, members in ages.items():
                self.update(group, age, members)
        return loss

    def update(self, group, age, members):
        beta1, beta2 = group["betas"]
        gradients = [p.grad for p in members]
        means = [self.state[p]["mean"] for p in members]
        squares = [self.state[p]["square"] for p in members]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - beta2**age) ** 0.5)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_mul_(members, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_addcdiv_(members, means, roots, -group["lr"] / (1 - beta1**age))


def get_adamw_cls():
    return ListAdamW
