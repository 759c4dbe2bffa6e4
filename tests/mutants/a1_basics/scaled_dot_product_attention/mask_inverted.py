"""Reads True as 'masked', as torch.nn.MultiheadAttention does: a causal model would see only its future."""

import math

import torch

REJECTED_BY = "test_true_means_attend"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
