"""Multiplies the scores with the mask: a score of 0 is a weight like any other, not the absence of one."""

import math

import torch

REJECTED_BY = "test_true_means_attend"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores * mask
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
