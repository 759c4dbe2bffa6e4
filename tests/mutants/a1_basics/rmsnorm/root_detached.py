"""Passes no gradient through the root: the numbers are right, and the layers before learn in a wrong direction."""

import torch

REJECTED_BY = "test_gradients_equal_the_oracles_slope"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps).detach()
    return (x * scale * weights).to(in_features.dtype)
