"""Divides by sqrt(d_v): right only as long as values are as wide as keys."""

import math

import torch

REJECTED_BY = "test_scale_uses_the_width_of_the_keys"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(V.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
