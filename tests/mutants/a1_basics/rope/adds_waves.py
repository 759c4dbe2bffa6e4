"""Adds sines and cosines, as the first transformers did, instead of turning: lengths change with the position."""

import torch

REJECTED_BY = "test_length_of_every_pair_is_kept"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions[..., None] * theta ** (-torch.arange(0, d_k, 2) / d_k)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a + sin, b + cos), dim=-1).flatten(-2).to(x.dtype)
