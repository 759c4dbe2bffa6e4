"""Takes one root mean square for the whole batch: the past sees how large the future is."""

import torch

REJECTED_BY = "test_any_leading_dimensions"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return (x * torch.rsqrt(x.square().mean() + eps) * weights).to(in_features.dtype)
