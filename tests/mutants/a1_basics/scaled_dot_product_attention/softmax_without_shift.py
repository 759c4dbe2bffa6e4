"""Exponentials without subtracting the largest score: inf / inf for scores above 88."""

import math

REJECTED_BY = "test_large_scores_stay_finite"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
    return weights @ V
