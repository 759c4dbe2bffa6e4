"""Ignores the mask it is given and uses a causal one of the public test's length, 12."""

import math

import torch

REJECTED_BY = "test_true_means_attend"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(
            ~torch.ones(12, 12, dtype=torch.bool).tril()[: Q.shape[-2], : K.shape[-2]], -math.inf
        )
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
