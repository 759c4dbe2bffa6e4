"""Subtracts 1e9 from masked scores: a masked key whose score is larger than that leaks."""

import math

import torch

REJECTED_BY = "test_masked_keys_have_no_influence"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores - 1e9 * (~mask).to(scores.dtype)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
