"""Calls the library's linear layer for the projections."""

import math

import torch
import torch.nn.functional as F

REJECTED_BY = "forbidden"


def turn(x, positions, theta):
    angles = positions[..., None] * theta ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


def attention(x, heads, weights, theta=None, positions=None, max_seq_len=None):
    seq = x.shape[-2]
    q_weight, k_weight, v_weight, o_weight = weights
    q, k, v = (
        F.linear(x, weight).unflatten(-1, (heads, -1)).transpose(-2, -3)
        for weight in (q_weight, k_weight, v_weight)
    )
    if theta is not None:
        positions = (torch.arange(seq) if positions is None else positions)[..., None, :]
        q, k = turn(q, positions, theta), turn(k, positions, theta)
    allowed = torch.ones(seq, seq, dtype=torch.bool).tril()
    scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~allowed, -torch.inf)
    read = torch.softmax(scores, dim=-1) @ v
    return read.transpose(-2, -3).flatten(-2) @ o_weight.T


def run_multihead_self_attention(
    d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
):
    weights = (q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    return attention(in_features, num_heads, weights)


def run_multihead_self_attention_with_rope(
    d_model,
    num_heads,
    max_seq_len,
    theta,
    q_proj_weight,
    k_proj_weight,
    v_proj_weight,
    o_proj_weight,
    in_features,
    token_positions=None,
):
    weights = (q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    return attention(in_features, num_heads, weights, theta, token_positions, max_seq_len)
