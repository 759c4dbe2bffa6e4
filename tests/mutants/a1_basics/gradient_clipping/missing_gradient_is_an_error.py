"""Wants a gradient from every parameter: frozen layers stop the training."""

import torch

REJECTED_BY = "test_parameters_without_gradient_are_skipped"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters]
    total = sum((g.float() ** 2).sum() for g in grads) ** 0.5
    if total > max_l2_norm:
        for g in grads:
            g.mul_(max_l2_norm / (total + 1e-6))
