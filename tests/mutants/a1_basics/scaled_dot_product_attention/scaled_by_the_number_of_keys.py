"""Divides by the square root of k_len: sharpness changes with the length of the text."""

import math

import torch

REJECTED_BY = "test_one_query_two_keys"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(K.shape[-2])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
