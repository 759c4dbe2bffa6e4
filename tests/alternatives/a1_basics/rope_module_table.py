"""RoPE as a module with tables of max_seq_len rows, kept between calls under everything that makes them."""

import functools

import torch

SOLVES = ("rope",)


class RotaryPositionalEmbedding(torch.nn.Module):
    def __init__(self, theta, d_k, max_seq_len):
        super().__init__()
        angles = torch.outer(torch.arange(max_seq_len).float(), theta ** -(torch.arange(0, d_k, 2) / d_k))
        self.register_buffer("cos", angles.cos().repeat_interleave(2, dim=-1), persistent=False)
        self.register_buffer("sin", angles.sin().repeat_interleave(2, dim=-1), persistent=False)

    def forward(self, x, positions):
        quarter_turned = torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).reshape(x.shape)
        return (x * self.cos[positions] + quarter_turned * self.sin[positions]).to(x.dtype)


modules = functools.lru_cache(RotaryPositionalEmbedding)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    return modules(theta, d_k, max_seq_len)(in_query_or_key, token_positions)
