"""Multiplies by 1 + gain, as some published models store it: others' checkpoints read wrongly."""

import torch

REJECTED_BY = "test_each_coordinate_has_its_gain"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float()
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * (1 + weights)).to(in_features.dtype)
