"""Uses bmm, which takes exactly (batch, seq, d): no heads dimension, and no single sequence."""

import math

import torch

REJECTED_BY = "test_any_leading_dimensions"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = torch.bmm(Q, K.transpose(1, 2)) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.bmm(torch.softmax(scores, dim=-1), V)
