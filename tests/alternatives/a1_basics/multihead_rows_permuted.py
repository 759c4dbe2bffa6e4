"""Multi-head attention in a module whose query and key rows are permuted on loading, for RoPE over halves."""

import math

import torch

SOLVES = ("multihead_self_attention",)


def turn(x, positions, theta):
    half = x.shape[-1] // 2
    angles = positions[..., None] * theta ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def halves_of_heads(weight, heads):
    """Within each head, first members of pairs before second ones."""
    by_head = weight.unflatten(0, (heads, -1))
    return torch.cat((by_head[:, 0::2], by_head[:, 1::2]), dim=1).flatten(0, 1)


def attention(x, heads, weights, theta=None, positions=None, max_seq_len=None):
    seq = x.shape[-2]
    q_weight, k_weight, v_weight, o_weight = (torch.nn.Parameter(w.detach().clone()) for w in weights)
    if theta is not None:
        q_weight, k_weight = (
            torch.nn.Parameter(halves_of_heads(w.detach(), heads)) for w in (q_weight, k_weight)
        )
    q, k, v = (
        (x @ weight.T).unflatten(-1, (heads, -1)).transpose(-2, -3)
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
