"""Subtracts the mean over positions from the gate: the past sees the future."""

import torch

REJECTED_BY = "test_every_position_is_alone"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    gate = in_features @ w1_weight.T
    if gate.dim() > 1:
        gate = gate - gate.mean(-2, keepdim=True)
    return (silu(gate) * (in_features @ w3_weight.T)) @ w2_weight.T
