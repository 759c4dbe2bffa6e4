"""Multi-head attention by einsum alone, in float64, without a transpose."""

import torch

SOLVES = ("multihead_self_attention",)


def turn(x, positions, theta):
    angles = positions[..., None] * theta ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


def attention(x, heads, weights, theta=None, positions=None, max_seq_len=None):
    seq, dtype = x.shape[-2], x.dtype
    x, weights = x.double(), [weight.double() for weight in weights]
    q_weight, k_weight, v_weight, o_weight = weights
    q, k, v = (
        torch.einsum("...sd,hed->...hse", x, weight.unflatten(0, (heads, -1)))
        for weight in (q_weight, k_weight, v_weight)
    )
    if theta is not None:
        positions = (torch.arange(seq) if positions is None else positions)[..., None, :]
        q, k = turn(q, positions, theta), turn(k, positions, theta)
    allowed = torch.ones(seq, seq, dtype=torch.bool).tril()
    scores = torch.einsum("...qe,...ke->...qk", q, k) * q.shape[-1] ** -0.5
    scores = torch.where(allowed, scores, -torch.inf)
    powers = (scores - torch.logsumexp(scores, -1, keepdim=True)).exp()
    o_weight = o_weight.unflatten(-1, (heads, -1))
    return torch.einsum("...hqk,...hke,dhe->...qd", powers, v, o_weight).to(dtype)


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
