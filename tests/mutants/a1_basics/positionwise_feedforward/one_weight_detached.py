"""Passes no gradient to w2 alone."""

import torch

REJECTED_BY = "test_gradients_reach_every_weight"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = silu(in_features @ w1_weight.T) * (in_features @ w3_weight.T)
    return hidden @ w2_weight.data.T
