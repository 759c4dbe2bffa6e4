"""Takes the positions of the first sequence for the whole batch: prompts of other lengths get wrong ones."""

import torch

REJECTED_BY = "test_positions_may_differ_per_sequence"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions.reshape(-1, token_positions.shape[-1])[0][..., None] * theta ** (
        -torch.arange(0, d_k, 2) / d_k
    )
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)
