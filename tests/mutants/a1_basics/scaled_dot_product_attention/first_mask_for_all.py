"""Uses the first sequence's mask for the whole batch: padding of the others is read as text."""

import math

import torch

REJECTED_BY = "test_any_leading_dimensions"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.reshape(-1, *mask.shape[-2:])[0], -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
