"""Forgets the factor x."""

import torch

REJECTED_BY = "test_values_by_hand"


def run_silu(in_features):
    return torch.sigmoid(in_features)
