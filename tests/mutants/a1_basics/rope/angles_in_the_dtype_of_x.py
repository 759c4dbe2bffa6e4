"""Computes angles in the dtype of x: in bfloat16, positions 1000 and 1001 are one number."""

import torch

REJECTED_BY = "test_dtype_is_kept_and_angles_are_precise"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions.to(x.dtype)[..., None] * (theta ** (-torch.arange(0, d_k, 2) / d_k)).to(x.dtype)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)
