"""RMSNorm by the length of the vector, in float64; the gain is applied after the rounding, as Llama does."""

import math

import torch

SOLVES = ("rmsnorm",)


def run_rmsnorm(d_model, eps, weights, in_features):
    x = in_features.double()
    length = torch.sqrt((x * x).sum(-1, keepdim=True) + d_model * eps)
    normed = (x / length * math.sqrt(d_model)).to(in_features.dtype)
    return (normed * weights).to(in_features.dtype)
