"""Clamps scores to 50 to keep the exponential finite: large scores, and their order, are lost."""

import math

import torch

REJECTED_BY = "test_large_scores_stay_finite"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores.clamp(max=50.0), dim=-1)
    return weights @ V
