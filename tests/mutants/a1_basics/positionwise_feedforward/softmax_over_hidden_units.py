"""Lets hidden units compete for the gate."""

import torch

REJECTED_BY = "test_the_gate_is_w1"


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    gate = torch.softmax(in_features @ w1_weight.T, dim=-1)
    return (gate * (in_features @ w3_weight.T)) @ w2_weight.T
