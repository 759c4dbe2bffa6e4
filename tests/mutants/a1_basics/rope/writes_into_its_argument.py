"""Writes the result into x: a second use of the same queries turns them twice."""

import torch

REJECTED_BY = "test_arguments_are_left_alone"


@torch.no_grad()
def _write(x, turned):
    x.copy_(turned)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    x = in_query_or_key
    angles = token_positions[..., None] * theta ** (-torch.arange(0, d_k, 2) / d_k)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return _finish(x, torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype))


def _finish(x, turned):
    if not x.requires_grad:
        _write(x, turned)
    return turned
