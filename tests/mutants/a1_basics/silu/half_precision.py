"""Computes in float16: three digits."""

import torch

REJECTED_BY = "test_it_dips_below_zero_once"


def run_silu(in_features):
    x = in_features.half()
    return (x * torch.sigmoid(x)).to(in_features.dtype)
