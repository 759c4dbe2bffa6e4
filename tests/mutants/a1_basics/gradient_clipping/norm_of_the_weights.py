"""Measures the weights instead of the gradients."""

import torch

REJECTED_BY = "test_weights_are_not_touched"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    parameters = [p for p in parameters if p.grad is not None]
    grads = [p.grad for p in parameters]
    total = sum((p.float() ** 2).sum() for p in parameters) ** 0.5
    if total > max_l2_norm:
        for g in grads:
            g.mul_(max_l2_norm / (total + 1e-6))
