"""Detaches the weights: values learn, queries and keys never do."""

import math

import torch

REJECTED_BY = "test_gradients_equal_the_oracles_slope"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1).detach()
    return weights @ V
