"""Tiles of queries outside, of keys inside, in torch and in Triton; backward with the whole matrix at once."""

import math

import torch
import triton
import triton.language as tl

SOLVES = ("flash_forward", "flash_backward")
TILE = 64


def by_tiles(Q, K, V, is_causal):
    scale = 1 / math.sqrt(Q.shape[-1])
    q_len, k_len = Q.shape[-2], K.shape[-2]
    out = torch.empty(*Q.shape[:-1], V.shape[-1], dtype=Q.dtype)
    logsumexp = torch.empty(Q.shape[:-1])
    for i in range(0, q_len, TILE):
        q = Q[..., i : i + TILE, :].float()
        largest = torch.full(q.shape[:-1], -torch.inf)
        total = torch.zeros(q.shape[:-1])
        mixed = torch.zeros(*q.shape[:-1], V.shape[-1])
        for j in range(0, k_len, TILE):
            k, v = (part[..., j : j + TILE, :].float() for part in (K, V))
            scores = q @ k.mT * scale
            if is_causal:
                rows = torch.arange(i, i + q.shape[-2]) + (k_len - q_len)
                scores = scores.masked_fill(rows[:, None] < torch.arange(j, j + k.shape[-2]), -torch.inf)
            higher = torch.maximum(largest, scores.amax(-1))
            kept = torch.exp(largest - higher)
            weights = torch.exp(scores - higher[..., None])
            total = total * kept + weights.sum(-1)
            mixed = mixed * kept[..., None] + weights @ v
            largest = higher
        out[..., i : i + TILE, :] = mixed / total[..., None]
        logsumexp[..., i : i + TILE] = largest + total.log()
    return out, logsumexp


@triton.jit
def kernel(
    q_at,
    k_at,
    v_at,
    out_at,
    logsumexp_at,
    q_batch,
    q_row,
    q_column,
    k_batch,
    k_row,
    k_column,
    v_batch,
    v_row,
    v_column,
    q_len,
    k_len,
    scale,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    IS_CAUSAL: tl.constexpr,
):
    tile, batch = tl.program_id(0), tl.program_id(1)
    rows, width = tile * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    is_row = rows < q_len
    q_place = batch * q_batch + rows[:, None] * q_row + width[None, :] * q_column
    q = tl.load(q_at + q_place, mask=is_row[:, None], other=0.0)
    largest = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    mixed = tl.zeros((ROWS, WIDTH), tl.float32)
    end = k_len
    if IS_CAUSAL:
        end = tl.minimum(k_len, (tile + 1) * ROWS + k_len - q_len)
    for start in range(0, end, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        is_key = columns < k_len
        k_place = batch * k_batch + columns[:, None] * k_row + width[None, :] * k_column
        v_place = batch * v_batch + columns[:, None] * v_row + width[None, :] * v_column
        k = tl.load(k_at + k_place, mask=is_key[:, None], other=0.0)
        v = tl.load(v_at + v_place, mask=is_key[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k)) * scale
        scores = tl.where(is_key[None, :], scores, -float("inf"))
        if IS_CAUSAL:
            scores = tl.where(rows[:, None] + k_len - q_len >= columns[None, :], scores, -float("inf"))
        higher = tl.maximum(largest, tl.max(scores, 1))
        kept = tl.exp(largest - higher)
        weights = tl.exp(scores - higher[:, None])
        total = total * kept + tl.sum(weights, 1)
        mixed = mixed * kept[:, None] + tl.dot(weights.to(v.dtype), v)
        largest = higher
    out_place = (batch * q_len + rows[:, None]) * WIDTH + width[None, :]
    out = (mixed / total[:, None]).to(out_at.dtype.element_ty)
    tl.store(out_at + out_place, out, mask=is_row[:, None])
    tl.store(logsumexp_at + batch * q_len + rows, largest + tl.log(total), mask=is_row)


def by_kernel(Q, K, V, is_causal):
    q, k, v = (part.flatten(0, -3) for part in (Q, K, V))
    q_len, k_len, width = q.shape[-2], k.shape[-2], q.shape[-1]
    out = torch.empty(Q.shape, dtype=Q.dtype, device=Q.device)
    logsumexp = torch.empty(Q.shape[:-1], device=Q.device)
    strides = (*q.stride(), *k.stride(), *v.stride())
    kernel[(triton.cdiv(q_len, 32), q.shape[0])](
        *(q, k, v, out, logsumexp, *strides, q_len, k_len, 1 / math.sqrt(width)),
        WIDTH=width,
        ROWS=32,
        COLUMNS=32,
        IS_CAUSAL=is_causal,
    )
    return out, logsumexp


def slopes(Q, K, V, out, logsumexp, grad_out, is_causal):
    q, k, v, grad = (part.float() for part in (Q, K, V, grad_out))
    scale = q.shape[-1] ** -0.5
    scores = q @ k.mT * scale
    if is_causal:
        q_len, k_len = scores.shape[-2:]
        allowed = torch.ones(q_len, k_len, dtype=torch.bool, device=q.device).tril(k_len - q_len)
        scores = scores.masked_fill(~allowed, -torch.inf)
    weights = torch.exp(scores - logsumexp[..., None])
    row_dot = (out.float() * grad).sum(-1, keepdim=True)
    grad_scores = weights * (grad @ v.mT - row_dot) * scale
    grad_q, grad_k, grad_v = grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad
    return grad_q.to(Q.dtype), grad_k.to(K.dtype), grad_v.to(V.dtype)


class Flash(torch.autograd.Function):
    attend = staticmethod(by_tiles)

    @classmethod
    def _forward(cls, ctx, Q, K, V, is_causal):
        out, logsumexp = cls.attend(Q, K, V, is_causal)
        ctx.is_causal = is_causal
        ctx.save_for_backward(Q, K, V, out, logsumexp)
        return out

    @staticmethod
    def forward(ctx, Q, K, V, is_causal=False):
        return Flash._forward(ctx, Q, K, V, is_causal)

    @staticmethod
    def backward(ctx, grad_out):
        return *slopes(*ctx.saved_tensors, grad_out, ctx.is_causal), None


class KernelFlash(Flash):
    attend = staticmethod(by_kernel)

    @staticmethod
    def forward(ctx, Q, K, V, is_causal=False):
        return KernelFlash._forward(ctx, Q, K, V, is_causal)


def get_flashattention_autograd_function_pytorch():
    return Flash


def get_flashattention_autograd_function_triton():
    return KernelFlash
