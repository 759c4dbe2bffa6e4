"""Takes exactly (batch, seq, d_k): a model with a heads dimension, or a single sequence, cannot use it."""

import torch

REJECTED_BY = "test_any_leading_dimensions"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    batch, seq, _ = x.shape
    angles = token_positions[..., None] * theta ** (-torch.arange(0, d_k, 2) / d_k)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).reshape(batch, seq, d_k).to(x.dtype)
