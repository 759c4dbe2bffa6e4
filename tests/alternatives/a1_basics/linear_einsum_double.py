"""The linear layer as an einsum in float64."""

import torch

SOLVES = ("linear",)


def run_linear(d_in, d_out, weights, in_features):
    product = torch.einsum("oi,...i->...o", weights.double(), in_features.double())
    return product.to(in_features.dtype)
