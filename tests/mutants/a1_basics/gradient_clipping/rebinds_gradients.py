"""Puts a new tensor in place of .grad: whoever holds the old one keeps the unclipped values."""

import torch

REJECTED_BY = "test_gradients_are_edited_in_place"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    parameters = [p for p in parameters if p.grad is not None]
    grads = [p.grad for p in parameters]
    total = sum((g.float() ** 2).sum() for g in grads) ** 0.5
    if total > max_l2_norm:
        for p in parameters:
            p.grad = p.grad * (max_l2_norm / (total + 1e-6))
