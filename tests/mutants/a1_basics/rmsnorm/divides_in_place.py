"""Normalises its argument: the residual stream, which should go past the norm, is normalised too."""

import torch

REJECTED_BY = "test_arguments_are_left_alone"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    if not in_features.requires_grad:
        in_features.mul_(scale)
        return in_features * weights.to(in_features.dtype)
    return (x * scale * weights).to(in_features.dtype)
