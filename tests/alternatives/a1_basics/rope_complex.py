"""RoPE as multiplication of complex numbers: a pair (a, b) is a + ib, turning is a product with e^(i angle)."""

import torch

SOLVES = ("rope",)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    frequencies = 1.0 / theta ** (torch.arange(0, d_k, 2).float() / d_k)
    angles = token_positions.unsqueeze(-1) * frequencies
    turns = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(in_query_or_key.float().unflatten(-1, (d_k // 2, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(in_query_or_key)
