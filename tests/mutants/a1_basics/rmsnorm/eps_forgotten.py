"""Adds no eps: a vector of zeros, as padding gives, becomes NaN."""

import torch

REJECTED_BY = "test_eps_stands_beside_the_mean_square"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True)) * weights).to(in_features.dtype)
