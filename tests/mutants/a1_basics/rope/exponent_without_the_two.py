"""Pair k turns by theta ** (-k / d_k): the slowest pair is a hundred times too fast."""

import torch

REJECTED_BY = "test_theta_sets_the_speeds"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions[..., None] * theta ** (-torch.arange(d_k // 2) / d_k)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)
