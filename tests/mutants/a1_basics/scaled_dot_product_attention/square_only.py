"""Reads the number of keys from the queries: wrong in generation, where one query meets many keys."""

import math

import torch

REJECTED_BY = "test_any_leading_dimensions"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    scores = scores[..., : Q.shape[-2]]
    V = V[..., : Q.shape[-2], :]
    mask = None if mask is None else mask[..., : Q.shape[-2]]
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
