"""Passes no gradient through the sigmoid."""

import torch

REJECTED_BY = "test_gradients_go_on_backwards"


def run_silu(in_features):
    return in_features * torch.sigmoid(in_features).detach()
