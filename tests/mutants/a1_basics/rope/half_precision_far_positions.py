"""Stores its table of angles in float16: right at the start of a text, wrong beyond position 2048."""

import torch

REJECTED_BY = "test_every_position_below_max_seq_len_is_there"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions.half()[..., None] * (theta ** (-torch.arange(0, d_k, 2) / d_k)).half()
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)
