"""Builds its table for as many positions as x has rows: any offset falls out of it."""

import torch

REJECTED_BY = "test_positions_are_used"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = torch.arange(in_query_or_key.shape[-2])[token_positions][..., None] * theta ** (
        -torch.arange(0, d_k, 2) / d_k
    )
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)
