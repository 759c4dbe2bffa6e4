"""Adds a bias that no checkpoint holds: every load leaves another random one in place."""

import torch

REJECTED_BY = "test_zero_gives_zero"


def run_linear(d_in, d_out, weights, in_features):
    return in_features @ weights.T + 0.01 * torch.randn(d_out)
