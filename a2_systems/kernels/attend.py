"""Kernels in the model's slot: each is an `attend(layer, q, k, v) -> out`, called after projection and RoPE.

    model(token_ids, attend=tiled_attention)
    model(packed_ids, positions, attend=DocumentAttention(documents))

All are causal, the queries being the last of the keys' positions, and take fewer key/value heads than query heads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from a2_systems.kernels.flash_tiled import FlashAttention


def flash_attention(
    q: Float[Tensor, "batch heads q_len d_k"],
    k: Float[Tensor, "batch kv_heads k_len d_k"],
    v: Float[Tensor, "batch kv_heads k_len d_v"],
    *,
    is_causal: bool,
    documents: Int[Tensor, "sequences positions"] | None = None,
) -> Float[Tensor, "batch heads q_len d_v"]:
    """FlashAttention-2 in plain torch. Raises: ValueError: shapes that do not fit one another."""
    return FlashAttention.apply(q, k, v, is_causal, documents)  # pyright: ignore[reportReturnType]


def tiled_attention(
    layer: int,
    queries: Float[Tensor, "batch heads q_len d_k"],
    keys: Float[Tensor, "batch kv_heads k_len d_k"],
    values: Float[Tensor, "batch kv_heads k_len d_v"],
) -> Float[Tensor, "batch heads q_len d_v"]:
    """Attention by tiles: the clear one of the fast kernels."""
    return flash_attention(queries, keys, values, is_causal=True)


def sdpa_attention(
    layer: int,
    queries: Float[Tensor, "batch heads q_len d_k"],
    keys: Float[Tensor, "batch kv_heads k_len d_k"],
    values: Float[Tensor, "batch kv_heads k_len d_v"],
) -> Float[Tensor, "batch heads q_len d_v"]:
    """torch's own kernel; which of its backends runs is torch's choice."""
    q_len, k_len = queries.shape[2], keys.shape[2]
    is_grouped = queries.shape[1] != keys.shape[1]
    if q_len == k_len:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=is_grouped)
    # `is_causal` would take the queries for the *first* positions. A single query sees everything.
    mask = None
    if q_len > 1:
        from torch.nn.attention.bias import causal_lower_right  # imports Triton

        mask = causal_lower_right(q_len, k_len)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=is_grouped)


def triton_attention(
    layer: int,
    queries: Float[Tensor, "batch heads q_len d_k"],
    keys: Float[Tensor, "batch kv_heads k_len d_k"],
    values: Float[Tensor, "batch kv_heads k_len d_v"],
) -> Float[Tensor, "batch heads q_len d_v"]:
    """The same tiles as Triton kernels; Triton is imported at the first call."""
    from a2_systems.kernels.flash_triton import TritonFlashAttention

    return TritonFlashAttention.apply(queries, keys, values, True)  # pyright: ignore[reportReturnType]


def best_attention(
    layer: int,
    queries: Float[Tensor, "batch heads q_len d_k"],
    keys: Float[Tensor, "batch kv_heads k_len d_k"],
    values: Float[Tensor, "batch kv_heads k_len d_v"],
) -> Float[Tensor, "batch heads q_len d_v"]:
    """The fastest that runs where the tensors are: Triton on CUDA, torch's kernel elsewhere.

    Head dimensions for which there is no kernel, values of another width than keys, and float64 go to torch's too.
    """
    is_for_kernels = queries.dtype != torch.float64 and queries.shape[-1] == values.shape[-1] <= 256
    if queries.is_cuda and is_for_kernels:
        # under autocast RoPE leaves float32, and torch's kernel would take all three in the lower precision
        return triton_attention(layer, queries.to(values.dtype), keys.to(values.dtype), values)
    return sdpa_attention(layer, queries, keys, values)


@dataclass(frozen=True)
class DocumentAttention:
    """Causal attention within documents: several of them in one sequence, and none reads another.

    Tiles between two documents are never computed, so a packed sequence costs what its documents cost. Numbers along a
    sequence should not fall (0 0 0 1 1 2): tiles are skipped by the range of numbers in them. With positions that begin
    anew in each document a packed batch gives, for each, what it gives alone.
    """

    documents: Int[Tensor, "batch k_len"]  # the document of each position

    def __call__(
        self,
        layer: int,
        queries: Float[Tensor, "batch heads q_len d_k"],
        keys: Float[Tensor, "batch kv_heads k_len d_k"],
        values: Float[Tensor, "batch kv_heads k_len d_v"],
    ) -> Float[Tensor, "batch heads q_len d_v"]:
        """Attention by tiles, within documents."""
        return flash_attention(queries, keys, values, is_causal=True, documents=self.documents)
