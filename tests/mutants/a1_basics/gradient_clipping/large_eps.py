"""Adds 0.1 to the norm: short gradients are clipped far below the bound."""

import torch

REJECTED_BY = "test_joint_norm_falls_to_the_bound"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum((g.float() ** 2).sum() for g in grads) ** 0.5
    if total > max_l2_norm:
        for g in grads:
            g.mul_(max_l2_norm / (total + 0.1))
