"""Detaches the sum of the softmax: the forward numbers are right, the slope is not."""

import math

REJECTED_BY = "test_gradients_equal_the_oracles_slope"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    weights = powers / powers.sum(dim=-1, keepdim=True).detach()
    return weights @ V
