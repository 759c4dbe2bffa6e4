"""Attention by einsum, with weights exp(score - logsumexp) and the smallest finite number for what is masked."""

import torch

SOLVES = ("scaled_dot_product_attention",)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", Q / Q.shape[-1] ** 0.5, K)
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
    return torch.einsum("...qk,...kd->...qd", weights, V)
