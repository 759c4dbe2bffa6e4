"""Takes the weights' numbers out of the graph: all layers learn but this one."""

import torch

REJECTED_BY = "test_gradients_reach_every_weight"


def silu(x):
    return x * torch.sigmoid(x)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    w1, w2, w3 = w1_weight.detach(), w2_weight.detach(), w3_weight.detach()
    return (silu(in_features @ w1.T) * (in_features @ w3.T)) @ w2.T
