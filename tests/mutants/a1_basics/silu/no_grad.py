"""Computes under no_grad: nothing before it learns."""

import torch

REJECTED_BY = "test_slopes_are_finite_everywhere"


@torch.no_grad()
def run_silu(in_features):
    return in_features * torch.sigmoid(in_features)
