"""Always rescales and has no eps: gradients of zero become NaN."""

import torch

REJECTED_BY = "test_nothing_to_clip_is_no_error"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum((g.float() ** 2).sum() for g in grads) ** 0.5
    for g in grads:
        g.mul_(max_l2_norm / total)
