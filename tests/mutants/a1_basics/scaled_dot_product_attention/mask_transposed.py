"""Transposes the mask: a causal model would see only its future, and shapes agree whenever q_len == k_len."""

import math

import torch

REJECTED_BY = "test_true_means_attend"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.transpose(-1, -2).reshape(mask.shape), -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
