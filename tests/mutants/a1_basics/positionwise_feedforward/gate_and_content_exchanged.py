"""Takes w3 for the gate: every shape fits, and everybody's checkpoints read wrongly."""

import torch

REJECTED_BY = "test_the_gate_is_w1"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = silu(in_features @ w3_weight.T) * (in_features @ w1_weight.T)
    return hidden @ w2_weight.T
