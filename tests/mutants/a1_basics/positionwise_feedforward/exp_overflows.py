"""SiLU as x / (1 + exp(-x)): right values, and a gradient of NaN at -100."""

import torch

REJECTED_BY = "test_large_hidden_units_stay_finite"


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    gate = in_features @ w1_weight.T
    hidden = gate / (1 + torch.exp(-gate)) * (in_features @ w3_weight.T)
    return hidden @ w2_weight.T
