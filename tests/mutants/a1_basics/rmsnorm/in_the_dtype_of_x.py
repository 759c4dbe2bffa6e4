"""Squares in the input's dtype: the square of 300 is infinite in float16, and the layer goes dead."""

import torch

REJECTED_BY = "test_float16_squares_do_not_overflow"


def run_rmsnorm(d_model, eps, weights, in_features):
    root = torch.sqrt(in_features.square().mean(-1, keepdim=True) + eps)
    return (in_features / root * weights).to(in_features.dtype)
