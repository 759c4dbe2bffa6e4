"""Calls the library's fused attention after projections of its own, without RoPE."""

import torch.nn.functional as F

from a1_basics import adapters

REJECTED_BY = "forbidden"


def norm(x, gain):
    return adapters.run_rmsnorm(x.shape[-1], 1e-5, gain, x)


def attend(x, weights, heads, max_seq_len, theta):
    projections = [weights[f"attn.{name}_proj.weight"] for name in ("q", "k", "v", "output")]
    q, k, v = ((x @ w.T).unflatten(-1, (heads, -1)).transpose(1, 2) for w in projections[:3])
    read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return read.transpose(1, 2).flatten(2) @ projections[3].T


def feed_forward(x, weights):
    w1, w2, w3 = (weights[f"ffn.w{i}.weight"] for i in (1, 2, 3))
    return adapters.run_swiglu(x.shape[-1], len(w1), w1, w2, w3, x)


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    x = in_features
    x = x + attend(norm(x, weights["ln1.weight"]), weights, num_heads, max_seq_len, theta)
    return x + feed_forward(norm(x, weights["ln2.weight"]), weights)
