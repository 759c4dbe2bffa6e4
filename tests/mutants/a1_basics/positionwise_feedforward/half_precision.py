"""Computes in float16: three digits."""

import torch

REJECTED_BY = "test_widths"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    x, w1, w2, w3 = (t.half() for t in (in_features, w1_weight, w2_weight, w3_weight))
    return ((silu(x @ w1.T) * (x @ w3.T)) @ w2.T).to(in_features.dtype)
