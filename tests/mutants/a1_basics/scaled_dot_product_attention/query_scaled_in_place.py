"""Scales the caller's queries in place: used again, they are scaled twice."""

import math

import torch

REJECTED_BY = "test_arguments_are_left_alone"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    with torch.no_grad():
        Q.div_(math.sqrt(Q.shape[-1]))
    scores = Q @ K.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, dim=-1) @ V
