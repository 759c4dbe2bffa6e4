"""Clamps the hidden units against overflow: outliers are cut off."""

import torch

REJECTED_BY = "test_large_hidden_units_stay_finite"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    gate, content = in_features @ w1_weight.T, in_features @ w3_weight.T
    return (silu(gate).clamp(max=100) * content.clamp(-100, 100)) @ w2_weight.T
