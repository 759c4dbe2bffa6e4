"""Takes exactly (batch, seq, d_model)."""

import torch

REJECTED_BY = "test_any_leading_dimensions"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    batch, seq, _ = in_features.shape
    flat = in_features.reshape(batch * seq, d_model)
    hidden = silu(flat @ w1_weight.T) * (flat @ w3_weight.T)
    return (hidden @ w2_weight.T).reshape(batch, seq, d_model)
