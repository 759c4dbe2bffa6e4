"""Keeps its table from call to call under d_k alone: the second model in a process gets the angles of the first."""

import torch

REJECTED_BY = "test_calls_do_not_remember_each_other"


FREQUENCIES = {}


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions[..., None] * FREQUENCIES.setdefault(
        d_k, theta ** (-torch.arange(0, d_k, 2) / d_k)
    )
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)
