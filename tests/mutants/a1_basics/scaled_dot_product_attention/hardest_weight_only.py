"""Copies the value of the best key in place of averaging: no gradient, and no mixture."""

import math

import torch

REJECTED_BY = "test_one_query_two_keys"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.nn.functional.one_hot(scores.argmax(dim=-1), scores.shape[-1]).to(V.dtype)
    return weights @ V
