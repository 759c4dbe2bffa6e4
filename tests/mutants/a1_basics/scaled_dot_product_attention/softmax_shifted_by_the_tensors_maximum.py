"""Subtracts the largest score of the whole tensor: quiet queries underflow to 0/0."""

import math

REJECTED_BY = "test_rows_far_apart_stay_finite"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    powers = (scores - scores.max()).exp()
    weights = powers / powers.sum(dim=-1, keepdim=True)
    return weights @ V
