"""Takes the largest number as the norm."""

import torch

REJECTED_BY = "test_joint_norm_falls_to_the_bound"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = max((g.abs().max() for g in grads), default=0)
    if total > max_l2_norm:
        for g in grads:
            g.mul_(max_l2_norm / (total + 1e-6))
