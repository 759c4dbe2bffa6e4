"""GELU as the gate: GeGLU, another layer of the same paper."""

import torch

REJECTED_BY = "test_one_hidden_unit_by_hand"


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    gate = in_features @ w1_weight.T
    gate = gate * 0.5 * (1 + torch.erf(gate / 2**0.5))
    return (gate * (in_features @ w3_weight.T)) @ w2_weight.T
