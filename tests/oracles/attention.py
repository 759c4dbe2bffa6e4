"""Scaled dot-product attention, one query at a time, in float64."""

import math

import numpy as np


def weights(q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """How much each query (..., q_len, d_k) attends to each key (..., k_len, d_k); exactly 0 where masked.

    Source: Vaswani et al. 2017, "Attention Is All You Need", equation 1.
    """
    q, k = np.asarray(q, dtype=np.float64), np.asarray(k, dtype=np.float64)
    leading = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    q_len, k_len, d_k = q.shape[-2], k.shape[-2], k.shape[-1]
    q, k = np.broadcast_to(q, (*leading, q_len, d_k)), np.broadcast_to(k, (*leading, k_len, d_k))
    allowed = np.broadcast_to(True if mask is None else mask, (*leading, q_len, k_len))
    result = np.zeros((*leading, q_len, k_len))
    for place in np.ndindex(*leading, q_len):
        keys = [j for j in range(k_len) if allowed[place][j]]
        scores = [float(q[place] @ k[place[:-1]][j]) / math.sqrt(d_k) for j in keys]
        largest = max(scores)
        powers = [math.exp(score - largest) for score in scores]
        for j, power in zip(keys, powers, strict=True):
            result[place][j] = power / sum(powers)
    return result


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """For each query the values (..., k_len, d_v), averaged with its weights."""
    return weights(q, k, mask) @ np.asarray(v, dtype=np.float64)
