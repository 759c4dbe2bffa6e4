"""Attention with all leading dimensions flattened into one and batched matrix products."""

import torch

SOLVES = ("scaled_dot_product_attention",)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    leading = Q.shape[:-2]
    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (Q, K, V))
    scores = torch.bmm(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5
    if mask is not None:
        mask = mask.expand(*leading, *mask.shape[-2:]).reshape(scores.shape)
        scores = torch.where(mask, scores, torch.tensor(float("-inf"), dtype=scores.dtype))
    return torch.bmm(torch.softmax(scores, dim=-1), v).reshape(*leading, Q.shape[-2], V.shape[-1])
