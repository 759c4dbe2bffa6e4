"""Zeroes masked weights after the softmax: rows no longer sum to one."""

import math

import torch

REJECTED_BY = "test_weights_sum_to_one"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    weights = torch.softmax(Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1]), dim=-1)
    if mask is not None:
        weights = weights * mask
    return weights @ V
