"""Iterates over its argument twice: model.parameters() is empty by then, and nothing is scaled."""

import torch

REJECTED_BY = "test_a_generator_of_parameters_will_do"


@torch.no_grad()
def run_gradient_clipping(parameters, max_l2_norm):
    total = sum((p.grad.float() ** 2).sum() for p in parameters if p.grad is not None) ** 0.5
    if total > max_l2_norm:
        for p in parameters:
            if p.grad is not None:
                p.grad.mul_(max_l2_norm / (total + 1e-6))
