"""Looks like an optimizer and is none: schedules, sharding and checkpoints find no param_groups and no state."""

import torch

REJECTED_BY = "test_it_is_an_optimizer_for_any_iterable_of_parameters"


class AdamW:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        self.params, self.lr, self.betas, self.eps, self.weight_decay = (
            list(params),
            lr,
            betas,
            eps,
            weight_decay,
        )
        self.t, self.m, self.v = 0, [0.0] * len(self.params), [0.0] * len(self.params)

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.t += 1
        (beta1, beta2), t = self.betas, self.t
        for i, p in enumerate(self.params):
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * p.grad
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * p.grad**2
            p.mul_(1 - self.lr * self.weight_decay)
            p.sub_(self.lr * self.m[i] / (1 - beta1**t) / ((self.v[i] / (1 - beta2**t)).sqrt() + self.eps))


def get_adamw_cls():
    return AdamW
