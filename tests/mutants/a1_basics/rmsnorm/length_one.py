"""Divides by the length, the root of the *sum* of squares: the wider the model, the smaller the result."""

import torch

REJECTED_BY = "test_the_root_mean_square_becomes_one"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return (x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps) * weights).to(in_features.dtype)
