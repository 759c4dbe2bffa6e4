"""Gradient clipping by torch's list operations, without a branch: the factor is at most 1."""

import torch

SOLVES = ("gradient_clipping",)


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        norms = torch.stack([n.float() for n in torch._foreach_norm([g.float() for g in gradients])])
        factor = torch.clamp(max_l2_norm / (norms.square().sum().sqrt() + 1e-6), max=1.0)
        torch._foreach_mul_(gradients, float(factor))
