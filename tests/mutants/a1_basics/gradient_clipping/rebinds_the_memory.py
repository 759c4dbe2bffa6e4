"""Sets .grad.data: the tensor stays, its memory does not, and flat buffers keep the unclipped values."""

import torch

REJECTED_BY = "test_gradients_are_edited_in_place"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum((g.float() ** 2).sum() for g in grads) ** 0.5
    if total > max_l2_norm:
        for g in grads:
            g.data = g * (max_l2_norm / (total + 1e-6))
