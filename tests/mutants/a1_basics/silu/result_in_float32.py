"""Widens and never goes back."""

import torch

REJECTED_BY = "test_dtype_is_kept"


def run_silu(in_features):
    x = in_features.float()
    return x * torch.sigmoid(x)
