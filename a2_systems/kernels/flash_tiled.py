"""FlashAttention-2 in plain torch: attention by tiles, forward and backward, the matrix of scores never in memory.

Forward, for each tile of queries: go over the tiles of keys and keep, for each query, the largest score so far, the sum
of exponentials so far and the mixture of values so far; when a larger score turns up, what was summed is scaled down.
All that is kept for backward is the result and, for each query, the logarithm of its sum of exponentials: from it any
tile of weights can be computed again, exp(score - logsumexp), without a second look at the other tiles.

Groups of query heads that share one key/value head are folded into the rows of a tile: one product serves them all, and
the gradients of the shared head add up by themselves.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from a2_systems.kernels.visibility import Visibility, tiles

QUERY_TILE = 128
KEY_TILE = 128
"""Rows and columns of a tile of scores. On a CPU the tile should stay in the second-level cache, and be large enough
that a step of the loop costs more than Python's share of it."""


def attend_by_tiles(
    queries: Float[Tensor, "*lead group q_len d_k"],
    keys: Float[Tensor, "*lead k_len d_k"],
    values: Float[Tensor, "*lead k_len d_v"],
    visibility: Visibility,
    q_tile: int = QUERY_TILE,
    k_tile: int = KEY_TILE,
) -> tuple[Float[Tensor, "*lead group q_len d_v"], Float[Tensor, "*lead group q_len"]]:
    """The result, in the dtype of the queries, and each query's log-sum-exp; a query that sees nothing reads zeros.

    Source: [flash2-2023] algorithm 1.
    """
    exact = _accumulator(queries)
    out = queries.new_zeros(*queries.shape[:-1], values.shape[-1])
    logsumexp = queries.new_full(queries.shape[:-1], -torch.inf, dtype=exact)
    for rows in tiles(visibility.q_len, q_tile):
        q = _fold(queries[..., rows, :]).to(exact)
        largest = q.new_full(q.shape[:-1], -torch.inf)
        total = torch.zeros_like(largest)
        mixed = q.new_zeros(*q.shape[:-1], values.shape[-1])
        for columns, mask in visibility.key_tiles(rows, k_tile):
            scores = _scores(q, keys[..., columns, :].to(exact), mask, queries.shape[-3])
            higher = torch.maximum(largest, scores.amax(dim=-1))
            shift = higher.masked_fill(higher == -torch.inf, 0.0)  # nothing seen yet: -inf minus -inf is NaN
            weights = scores.sub_(shift[..., None]).exp_()
            kept = torch.exp(largest - shift)
            total = total * kept + weights.sum(dim=-1)
            mixed = mixed * kept[..., None] + weights @ values[..., columns, :].to(exact)
            largest = higher
        sees_something = total > 0
        mixed = mixed / total.masked_fill(~sees_something, 1.0)[..., None]
        out[..., rows, :] = mixed.unflatten(-2, (queries.shape[-3], -1)).to(out.dtype)
        logsumexp[..., rows] = (largest + total.log()).unflatten(-1, (queries.shape[-3], -1))
    return out, logsumexp


def gradients_by_tiles(
    grad_out: Float[Tensor, "*lead group q_len d_v"],
    queries: Float[Tensor, "*lead group q_len d_k"],
    keys: Float[Tensor, "*lead k_len d_k"],
    values: Float[Tensor, "*lead k_len d_v"],
    out: Float[Tensor, "*lead group q_len d_v"],
    logsumexp: Float[Tensor, "*lead group q_len"],
    visibility: Visibility,
    q_tile: int = QUERY_TILE,
    k_tile: int = KEY_TILE,
) -> tuple[
    Float[Tensor, "*lead group q_len d_k"], Float[Tensor, "*lead k_len d_k"], Float[Tensor, "*lead k_len d_v"]
]:
    """The gradients of queries, keys and values, in the dtypes of these.

    The gradient of a softmax needs, for each query, the sum over keys of weight * gradient of weight: a whole row of
    the matrix. It is equal to the inner product of the result with its gradient, which is no wider than a head.

    Source: [flash2-2023] algorithm 2.
    """
    exact = _accumulator(queries)
    scale = 1.0 / math.sqrt(queries.shape[-1])
    grad_queries = torch.empty_like(queries)
    grad_keys = torch.zeros_like(keys, dtype=exact)
    grad_values = torch.zeros_like(values, dtype=exact)
    for rows in tiles(visibility.q_len, q_tile):
        q, grad = _fold(queries[..., rows, :]).to(exact), _fold(grad_out[..., rows, :]).to(exact)
        row_dot = (grad * _fold(out[..., rows, :]).to(exact)).sum(dim=-1, keepdim=True)
        log_total = logsumexp[..., rows].flatten(-2)[..., None]
        log_total = log_total.masked_fill(
            log_total == -torch.inf, 0.0
        )  # all of its scores are -inf: weight 0
        grad_q = torch.zeros_like(q)
        for columns, mask in visibility.key_tiles(rows, k_tile):
            k, v = keys[..., columns, :].to(exact), values[..., columns, :].to(exact)
            weights = _scores(q, k, mask, queries.shape[-3]).sub_(log_total).exp_()
            grad_values[..., columns, :] += weights.mT @ grad
            grad_scores = (grad @ v.mT).sub_(row_dot).mul_(weights).mul_(scale)
            grad_q += grad_scores @ k
            grad_keys[..., columns, :] += grad_scores.mT @ q
        grad_queries[..., rows, :] = grad_q.unflatten(-2, (queries.shape[-3], -1)).to(queries.dtype)
    return grad_queries, grad_keys.to(keys.dtype), grad_values.to(values.dtype)


def _accumulator(queries: Tensor) -> torch.dtype:
    """Sums over thousands of keys lose all meaning in 8 bits: half-precision inputs are added up in float32."""
    return torch.promote_types(queries.dtype, torch.float32)


def _fold(rows: Float[Tensor, "*lead group q_len d"]) -> Float[Tensor, "*lead rows d"]:
    return rows.flatten(-3, -2)


def _scores(
    q: Float[Tensor, "*lead rows d_k"], k: Float[Tensor, "*lead k_len d_k"], mask: Tensor | None, group: int
) -> Float[Tensor, "*lead rows k_len"]:
    scores = (q @ k.mT).mul_(1.0 / math.sqrt(q.shape[-1]))
    if mask is not None:
        by_head = scores.unflatten(-2, (group, -1))  # a view: what is filled here is filled there
        if mask.ndim == 3:  # one mask for each sequence, the same for all of its heads
            mask = mask.reshape(mask.shape[0], *[1] * (by_head.ndim - 3), *mask.shape[1:])
        by_head.masked_fill_(~mask.to(scores.device), -torch.inf)
    return scores


class FlashAttention(torch.autograd.Function):
    """`FlashAttention.apply(Q, K, V, is_causal=False, documents=None)`, Q (..., q_len, d_k), K and V (..., k_len, ·).

    Leading dimensions agree, or Q has a multiple of the heads of K and V in the last of them, (batch, heads, q_len,
    d_k) over (batch, kv_heads, k_len, d_k): then each group of neighbouring heads shares one. Queries are the last
    q_len of the k_len positions. `documents` (batch, k_len) numbers the document of each position, batch being the
    first leading dimension; a query sees only its own.

    Saves Q, K, V, the result and the log-sum-exp (..., q_len), and nothing else. Under autocast the inside stays in
    float32: a tile computed in half precision would bring back the error that accumulators avoid.

    Raises:
        ValueError: shapes that do not fit one another.
    Source: [flash2-2023].
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        Q: Float[Tensor, "*q_lead q_len d_k"],
        K: Float[Tensor, "*k_lead k_len d_k"],
        V: Float[Tensor, "*k_lead k_len d_v"],
        is_causal: bool = False,
        documents: Tensor | None = None,
    ) -> Float[Tensor, "*q_lead q_len d_v"]:
        """Attention by tiles."""
        group = _heads_per_group(Q, K, V)
        if documents is not None:
            _check_documents(Q, K, documents)
        visibility = Visibility(Q.shape[-2], K.shape[-2], is_causal, documents)
        with torch.autocast(Q.device.type, enabled=False):
            out, logsumexp = attend_by_tiles(_grouped(Q, group), K, V, visibility)
        out, logsumexp = out.reshape(*Q.shape[:-1], V.shape[-1]), logsumexp.reshape(Q.shape[:-1])
        ctx.save_for_backward(Q, K, V, out, logsumexp)
        ctx.visibility, ctx.group = visibility, group  # pyright: ignore[reportAttributeAccessIssue]
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: FunctionCtx, grad_out: Float[Tensor, "*q_lead q_len d_v"]
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """The tiles of weights once more, from the log-sum-exp."""
        Q, K, V, out, logsumexp = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        visibility, group = ctx.visibility, ctx.group  # pyright: ignore[reportAttributeAccessIssue]
        with torch.autocast(Q.device.type, enabled=False):
            grad_queries, grad_keys, grad_values = gradients_by_tiles(
                _grouped(grad_out, group),
                _grouped(Q, group),
                K,
                V,
                _grouped(out, group),
                _grouped(logsumexp[..., None], group)[..., 0],
                visibility,
            )
        return grad_queries.reshape(Q.shape), grad_keys, grad_values, None, None


def _grouped(per_head: Tensor, group: int) -> Tensor:
    """(..., kv_heads * group, q_len, d) as (..., kv_heads, group, q_len, d); a view."""
    return per_head.unsqueeze(-3) if group == 1 else per_head.unflatten(-3, (-1, group))


def _check_documents(Q: Tensor, K: Tensor, documents: Tensor) -> None:
    """Every position has a document, queries too. Raises: ValueError: other shapes, or queries without a position."""
    sequences = K.shape[0] if K.dim() > 2 else 1
    if documents.shape != (sequences, K.shape[-2]):
        raise ValueError(
            f"documents of shape {tuple(documents.shape)}; wanted one number for each position of each sequence, "
            f"({sequences}, {K.shape[-2]})"
        )
    if Q.shape[-2] > K.shape[-2]:
        raise ValueError(
            f"documents with q_len {Q.shape[-2]}, k_len {K.shape[-2]}; wanted q_len <= k_len: the queries are the last "
            "q_len of k_len positions, and each belongs to the document of its position"
        )


def _heads_per_group(Q: Tensor, K: Tensor, V: Tensor) -> int:
    """How many query heads share a key/value head. Raises: ValueError: the shapes do not fit."""
    q_lead, k_lead = Q.shape[:-2], K.shape[:-2]
    if K.shape[:-1] == V.shape[:-1] and Q.shape[-1] == K.shape[-1]:
        if q_lead == k_lead:
            return 1
        if len(q_lead) == len(k_lead) and q_lead[:-1] == k_lead[:-1] and q_lead[-1] % max(k_lead[-1], 1) == 0:
            return q_lead[-1] // k_lead[-1]
    raise ValueError(
        f"attention got Q {tuple(Q.shape)}, K {tuple(K.shape)}, V {tuple(V.shape)}; wanted Q (..., heads, q_len, d_k), "
        "K (..., kv_heads, k_len, d_k), V (..., kv_heads, k_len, d_v), heads a multiple of kv_heads, the rest of the "
        "leading dimensions equal"
    )
