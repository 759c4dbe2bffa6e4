"""RoPE by rotating halves, as published Llama code does, between a permutation and its inverse."""

import torch

SOLVES = ("rope",)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    order = torch.cat((torch.arange(0, d_k, 2), torch.arange(1, d_k, 2)))
    x = in_query_or_key[..., order].float()
    frequencies = theta ** (-torch.arange(0, d_k, 2).float() / d_k)
    angles = (token_positions[..., None] * frequencies).repeat(*[1] * token_positions.dim(), 2)
    first, second = x.chunk(2, dim=-1)
    turned = x * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()
    return turned[..., order.argsort()].to(in_query_or_key.dtype)
