"""Attention that drops masked weights by multiplication, after a shift by the largest allowed score."""

import torch

SOLVES = ("scaled_dot_product_attention",)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = (Q @ K.mT) / (K.size(-1) ** 0.5)
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    largest = scores.where(allowed, -torch.inf).amax(dim=-1, keepdim=True).detach()
    powers = ((scores - largest).clamp(max=0).exp()) * allowed
    return (powers @ V) / powers.sum(dim=-1, keepdim=True)
