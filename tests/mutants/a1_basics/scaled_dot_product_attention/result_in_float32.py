"""Upcasts for the softmax and forgets the way back: a float32 result for bfloat16 values."""

import math

import torch

REJECTED_BY = "test_dtype_is_kept"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q.float() @ K.float().transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, dim=-1) @ V.float()
