"""Scales small gradients up to the bound as well: near a minimum every step is a large one."""

import torch

REJECTED_BY = "test_small_gradients_are_left_alone"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum((g.float() ** 2).sum() for g in grads) ** 0.5
    for g in grads:
        g.mul_(max_l2_norm / (total + 1e-6))
