"""Returns .item(): a number that trains nothing."""

import torch

REJECTED_BY = "test_the_gradient_is_probability_minus_target"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return torch.tensor((inputs.logsumexp(-1) - target).mean().item())
