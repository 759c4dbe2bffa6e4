"""Uses w2 by columns where it is square."""

import torch

REJECTED_BY = "test_widths"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = silu(in_features @ w1_weight.T) * (in_features @ w3_weight.T)
    return hidden @ (w2_weight if d_model == d_ff else w2_weight.T)
