"""Gives each parameter an equal share of the bound."""

import torch

REJECTED_BY = "test_direction_is_kept"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    share = max_l2_norm / max(len(grads), 1) ** 0.5
    for g in grads:
        norm = (g.float() ** 2).sum() ** 0.5
        if norm > share:
            g.mul_(share / (norm + 1e-6))
