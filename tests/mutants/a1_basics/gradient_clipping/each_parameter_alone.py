"""Clips each parameter by its own norm: the step turns, and the joint norm stays above the bound."""

import torch

REJECTED_BY = "test_joint_norm_falls_to_the_bound"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    for g in grads:
        norm = (g.float() ** 2).sum() ** 0.5
        if norm > max_l2_norm:
            g.mul_(max_l2_norm / (norm + 1e-6))
