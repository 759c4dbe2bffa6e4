"""Keeps the first bound it was given."""

import torch

REJECTED_BY = "test_bound_may_change_between_calls"


bounds = []


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    bounds.append(max_l2_norm)
    max_l2_norm = bounds[0]
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum((g.float() ** 2).sum() for g in grads) ** 0.5
    if total > max_l2_norm:
        for g in grads:
            g.mul_(max_l2_norm / (total + 1e-6))
