"""Normalises over queries in place of keys: the weights of a query do not sum to one."""

import math

import torch

REJECTED_BY = "test_weights_sum_to_one"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    weights = torch.softmax(scores, dim=-2)
    return weights @ V
