"""Never goes back to the input's dtype."""

import torch

REJECTED_BY = "test_dtype_is_kept"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weights
