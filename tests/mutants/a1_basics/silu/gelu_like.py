"""x sigmoid(1.702 x), a fast GELU."""

import torch

REJECTED_BY = "test_values_by_hand"


def run_silu(in_features):
    return in_features * torch.sigmoid(1.702 * in_features)
