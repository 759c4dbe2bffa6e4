"""RoPE as the paper draws it: a block-diagonal matrix for each position, and a matrix product."""

import torch

SOLVES = ("rope",)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    speeds = torch.tensor([theta ** (-2 * k / d_k) for k in range(d_k // 2)], dtype=torch.float64)
    angles = token_positions.double()[..., None] * speeds
    matrix = torch.zeros(*token_positions.shape, d_k, d_k, dtype=torch.float64)
    even, odd = torch.arange(0, d_k, 2), torch.arange(1, d_k, 2)
    matrix[..., even, even] = matrix[..., odd, odd] = angles.cos()
    matrix[..., odd, even] = angles.sin()
    matrix[..., even, odd] = -angles.sin()
    return (matrix @ in_query_or_key.double()[..., None])[..., 0].to(in_query_or_key.dtype)
