"""Squares in float32, but adds eps in the input's dtype, where 1e-8 is 0."""

import torch

REJECTED_BY = "test_float16_eps_does_not_vanish"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    eps = torch.tensor(eps, dtype=in_features.dtype).float()
    return (x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps) * weights).to(in_features.dtype)
