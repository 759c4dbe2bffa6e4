"""Sums squares in the gradients' own dtype: infinite in float16, stuck at 256 in bfloat16."""

import torch

REJECTED_BY = "test_narrow_gradients_have_an_exact_norm"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum((g**2).cumsum(-1)[..., -1:].sum() for g in grads) ** 0.5
    if total > max_l2_norm:
        for g in grads:
            g.mul_(max_l2_norm / (total + 1e-6))
