"""Masks with -1e9 in place of minus infinity: masked keys win over allowed scores below it."""

import math

import torch

REJECTED_BY = "test_masked_keys_have_no_influence"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
