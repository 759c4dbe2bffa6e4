"""Computes under no_grad: nothing before the norm learns."""

import torch

REJECTED_BY = "test_gradients_equal_the_oracles_slope"


@torch.no_grad()
def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weights).to(in_features.dtype)
