"""Adds the mask to the scores, as if it were an additive one: True becomes +1 and nothing is masked."""

import math

import torch

REJECTED_BY = "test_true_means_attend"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
