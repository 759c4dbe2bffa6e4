"""Zeroes masked weights after the softmax and divides by what is left, which is 0/0 beside a loud masked key."""

import math

import torch

REJECTED_BY = "test_masked_keys_have_no_influence"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    weights = torch.softmax(Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1]), dim=-1)
    if mask is not None:
        weights = weights * mask
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights @ V
