"""Adds a causal mask of its own when none is given: cross-attention and encoders lose half of what they see."""

import math

import torch

REJECTED_BY = "test_no_mask_means_all_keys"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(K.shape[-2] - Q.shape[-2])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
