"""Gradient clipping whose norm is a traced function, and whose scaling divides by max(1, norm / bound)."""

import torch

SOLVES = ("gradient_clipping",)


@torch.jit.script
def joint_norm(gradients: list[torch.Tensor]) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for gradient in gradients:
        total = total + (gradient.to(torch.float64) ** 2).sum()
    return total.sqrt()


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    gradients = [p.grad for p in parameters if p.grad is not None]
    divisor = max(1.0, joint_norm(gradients).item() / max_l2_norm) if gradients else 1.0
    for gradient in gradients:
        gradient /= divisor
