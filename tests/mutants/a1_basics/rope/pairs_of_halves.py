"""Pairs number k with number k + d_k/2, the convention of published Llama weights: right there, nonsense here."""

import torch

REJECTED_BY = "test_pairs_are_neighbours"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions[..., None] * theta ** (-torch.arange(0, d_k, 2) / d_k)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., : d_k // 2], x[..., d_k // 2 :]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)
