"""Takes only a mask with all leading dimensions: one causal mask cannot serve all heads."""

import math

import torch

REJECTED_BY = "test_mask_broadcasts"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.view(-1).masked_fill(~mask.reshape(-1), -math.inf).view(scores.shape)
    weights = torch.softmax(scores, dim=-1)
    return weights @ V
