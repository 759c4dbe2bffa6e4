"""Runs under no_grad: right numbers, and nothing before it ever learns."""

import math

import torch

REJECTED_BY = "test_gradients_equal_the_oracles_slope"


@torch.no_grad()
def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
