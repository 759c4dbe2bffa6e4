"""Negates the caller's mask in place: every second layer sees the opposite."""

import math

import torch

REJECTED_BY = "test_arguments_are_left_alone"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not_(), -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
