"""Computes under no_grad: nothing learns."""

import torch

REJECTED_BY = "test_gradients_equal_the_oracles_slope"


def silu(x):
    return x * torch.sigmoid(x)


@torch.no_grad()
def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    hidden = silu(in_features @ w1_weight.T) * (in_features @ w3_weight.T)
    return hidden @ w2_weight.T
