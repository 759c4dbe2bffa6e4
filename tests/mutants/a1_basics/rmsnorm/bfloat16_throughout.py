"""Widens float16 only: in bfloat16 nothing overflows, and a whole vector is off by up to 0.8 %."""

import torch

REJECTED_BY = "test_bfloat16_is_rounded_once"


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.float() if in_features.dtype == torch.float16 else in_features
    root = torch.sqrt(x.square().mean(-1, keepdim=True) + eps)
    return (x / root * weights).to(in_features.dtype)
