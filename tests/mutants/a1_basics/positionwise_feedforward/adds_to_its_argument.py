"""Adds its result to its input in place, as if it were the block."""

import torch

REJECTED_BY = "test_arguments_are_left_alone"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = silu(in_features @ w1_weight.T) * (in_features @ w3_weight.T)
    result = hidden @ w2_weight.T
    if not in_features.requires_grad:
        in_features.add_(result)
    return result
