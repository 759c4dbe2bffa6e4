"""Asks for the length of its argument: model.parameters() has none."""

import torch

REJECTED_BY = "test_a_generator_of_parameters_will_do"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    if len(parameters) == 0:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum((g.float() ** 2).sum() for g in grads) ** 0.5
    if total > max_l2_norm:
        for g in grads:
            g.mul_(max_l2_norm / (total + 1e-6))
