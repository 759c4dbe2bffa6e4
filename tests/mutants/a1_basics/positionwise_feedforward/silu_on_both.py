"""Bends the content as well as the gate."""

import torch

REJECTED_BY = "test_linear_in_w2_and_in_w3"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = silu(in_features @ w1_weight.T) * silu(in_features @ w3_weight.T)
    return hidden @ w2_weight.T
