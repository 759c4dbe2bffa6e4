"""The second member of each pair passes no gradient on: the forward numbers are right, learning is not."""

import torch

REJECTED_BY = "test_gradients_turn_back"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions[..., None] * theta ** (-torch.arange(0, d_k, 2) / d_k)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2].detach()
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)
