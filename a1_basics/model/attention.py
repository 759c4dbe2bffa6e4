"""Attention: what one position reads from the others.

`scaled_dot_product_attention` is the teaching text and the oracle; `causal_attention` and `sdpa_attention` fill the
model's `attend` slot (clear and fast, same result); `SelfAttention` holds the projections.
"""

import math

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from a1_basics.model.layers import Linear, RMSNorm, softmax
from a1_basics.model.rope import RotaryEmbedding
from shared.doors.protocols import Attend


def attention_scores(
    queries: Float[Tensor, "... q_len d_k"], keys: Float[Tensor, "... k_len d_k"]
) -> Float[Tensor, "... q_len k_len"]:
    """Each query's inner product with each key, over the root of their width: its size does not grow with it."""
    return einsum(queries, keys, "... q d_k, ... k d_k -> ... q k") / math.sqrt(queries.shape[-1])


def scaled_dot_product_attention(
    queries: Float[Tensor, "... q_len d_k"],
    keys: Float[Tensor, "... k_len d_k"],
    values: Float[Tensor, "... k_len d_v"],
    mask: Bool[Tensor, "... q_len k_len"] | None = None,
) -> Float[Tensor, "... q_len d_v"]:
    """Each query's average of the values, weighted by the softmax of its inner products with the keys.

    `mask` is True where a query may look. Forbidden scores become minus infinity, so that their weight is exactly
    zero; a large finite number would let a large score through. A query that may look nowhere reads zeros.

    Source: [transformer-2017] equation 1.
    """
    scores = attention_scores(queries, keys)
    if mask is None:
        return einsum(softmax(scores, dim=-1), values, "... q k, ... k d_v -> ... q d_v")
    sees_something = mask.any(dim=-1, keepdim=True)
    # A row of nothing but -inf has no softmax: such rows keep their scores and are zeroed afterwards.
    scores = scores.masked_fill(~mask & sees_something, -torch.inf)
    weights = softmax(scores, dim=-1) * sees_something
    return einsum(weights, values, "... q k, ... k d_v -> ... q d_v")


def causal_mask(q_len: int, k_len: int, device: torch.device | None = None) -> Bool[Tensor, "q_len k_len"]:
    """True where key position <= query position, the queries being the last `q_len` of `k_len` positions.

    >>> causal_mask(2, 3).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    return torch.ones(q_len, k_len, dtype=torch.bool, device=device).tril(k_len - q_len)


def repeat_kv_heads(
    states: Float[Tensor, "... kv_heads k_len head_dim"], heads: int
) -> Float[Tensor, "... heads k_len head_dim"]:
    """Give every query head its own copy of the key or value head that it shares with its group.

    Raises:
        ValueError: heads is not a multiple of kv_heads.
    Source: [gqa-2023] section 2.2.
    """
    kv_heads = states.shape[-3]
    if heads % kv_heads:
        raise ValueError(f"heads={heads} must be a multiple of kv_heads={kv_heads}")
    return states if heads == kv_heads else states.repeat_interleave(heads // kv_heads, dim=-3)


def causal_attention(
    layer: int,
    queries: Float[Tensor, "batch heads q_len head_dim"],
    keys: Float[Tensor, "batch kv_heads k_len head_dim"],
    values: Float[Tensor, "batch kv_heads k_len head_dim"],
) -> Float[Tensor, "batch heads q_len head_dim"]:
    """The clear `attend`: causal attention written out; the oracle of every faster one."""
    heads = queries.shape[1]
    mask = causal_mask(queries.shape[2], keys.shape[2], queries.device)
    return scaled_dot_product_attention(
        queries, repeat_kv_heads(keys, heads), repeat_kv_heads(values, heads), mask
    )


def sdpa_attention(
    layer: int,
    queries: Float[Tensor, "batch heads q_len head_dim"],
    keys: Float[Tensor, "batch kv_heads k_len head_dim"],
    values: Float[Tensor, "batch kv_heads k_len head_dim"],
) -> Float[Tensor, "batch heads q_len head_dim"]:
    """The fast `attend`: torch's fused kernel, which never holds the whole score matrix."""
    heads, q_len, k_len = queries.shape[1], queries.shape[2], keys.shape[2]
    keys, values = repeat_kv_heads(keys, heads), repeat_kv_heads(values, heads)
    if q_len == k_len:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    mask = causal_mask(q_len, k_len, queries.device)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


class SelfAttention(nn.Module):
    """Multi-head causal self-attention with RoPE and, where configured, fewer key/value heads, QK-norm and biases.

    The number of heads is read from the width of the projections' outputs, never stored: a model whose projections
    are split over several devices runs this same code.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        qk_norm: bool = False,
        qkv_bias: bool = False,
        norm_eps: float = 1e-5,
        head_dim: int | None = None,
    ) -> None:
        super().__init__()
        if head_dim is None and d_model % num_heads:
            raise ValueError(f"d_model={d_model} must be a multiple of num_heads={num_heads}")
        num_kv_heads = num_kv_heads or num_heads
        if num_heads % num_kv_heads:
            raise ValueError(f"num_heads={num_heads} must be a multiple of num_kv_heads={num_kv_heads}")
        self.head_dim = head_dim or d_model // num_heads
        self.q_proj = Linear(d_model, num_heads * self.head_dim, bias=qkv_bias)
        self.k_proj = Linear(d_model, num_kv_heads * self.head_dim, bias=qkv_bias)
        self.v_proj = Linear(d_model, num_kv_heads * self.head_dim, bias=qkv_bias)
        self.output_proj = Linear(num_heads * self.head_dim, d_model)
        self.q_norm = RMSNorm(self.head_dim, norm_eps) if qk_norm else None
        self.k_norm = RMSNorm(self.head_dim, norm_eps) if qk_norm else None

    def forward(
        self,
        features: Float[Tensor, "batch seq d_model"],
        *,
        layer: int,
        rope: RotaryEmbedding | None,
        positions: Int[Tensor, "... seq"],
        attend: Attend,
    ) -> Float[Tensor, "batch seq d_model"]:
        queries, keys, values = (
            rearrange(projection(features), "batch seq (heads d) -> batch heads seq d", d=self.head_dim)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.q_norm is not None and self.k_norm is not None:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        if rope is not None:
            queries, keys = rope(queries, positions), rope(keys, positions)
        read = attend(layer, queries, keys, values)
        return self.output_proj(rearrange(read, "batch heads seq d -> batch seq (heads d)"))
