"""Adds gate and content where it should multiply."""

import torch

REJECTED_BY = "test_a_zero_gate_lets_nothing_through"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = silu(in_features @ w1_weight.T) + in_features @ w3_weight.T
    return hidden @ w2_weight.T
