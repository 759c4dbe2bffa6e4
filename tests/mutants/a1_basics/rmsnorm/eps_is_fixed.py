"""Always 1e-5, whatever eps was given: reads models with another one slightly wrongly."""

import torch

REJECTED_BY = "test_eps_stands_beside_the_mean_square"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weights).to(in_features.dtype)
