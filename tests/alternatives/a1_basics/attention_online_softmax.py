"""Attention key by key with a running maximum and a running sum, as FlashAttention does block by block."""

import math

import torch

SOLVES = ("scaled_dot_product_attention",)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    q, k, v = Q.double(), K.double(), V.double()
    largest = torch.full(q.shape[:-1], -math.inf, dtype=torch.float64)
    total = torch.zeros_like(largest)
    mixed = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=torch.float64)
    for j in range(k.shape[-2]):
        score = (q * k[..., j : j + 1, :]).sum(-1) / math.sqrt(q.shape[-1])
        if mask is not None:
            score = score.masked_fill(~mask[..., j], -math.inf)
        higher = torch.maximum(largest, score)
        shift = torch.where(higher == -math.inf, 0.0, higher)
        old, new = torch.exp(largest - shift), torch.exp(score - shift)
        total = total * old + new
        mixed = mixed * old[..., None] + new[..., None] * v[..., j : j + 1, :]
        largest = higher
    return (mixed / total[..., None]).to(Q.dtype)
