"""SiLU by the hyperbolic tangent: sigmoid(x) = (1 + tanh(x/2)) / 2."""

import torch

SOLVES = ("silu",)


def run_silu(in_features):
    half = in_features / 2
    return half + half * torch.tanh(half)
