"""Chooses the stable formula with torch.where: the branch not taken is infinite, and passes NaN back."""

import torch

REJECTED_BY = "test_slopes_are_finite_everywhere"


def run_silu(in_features):
    x, power = in_features, torch.exp(in_features)
    return torch.where(x < 0, x * power / (1 + power), x / (1 + torch.exp(-x)))
