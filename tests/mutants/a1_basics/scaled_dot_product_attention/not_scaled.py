"""Does not scale: with d_k = 64 the softmax starts so sharp that hardly a gradient passes."""

import math

import torch

REJECTED_BY = "test_scale_uses_the_width_of_the_keys"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / 1.0
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
