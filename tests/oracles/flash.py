"""Attention with its log-sum-exp and gradients, the whole matrix in float64: what tiles must add up to."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Attended:
    """What attention gives, and what its backward pass needs."""

    out: np.ndarray  # (..., q_len, d_v)
    logsumexp: np.ndarray  # (..., q_len)
    weights: np.ndarray  # (..., q_len, k_len)


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray, is_causal: bool = False) -> Attended:
    """Attention of q (..., q_len, d) over k and v (..., k_len, ·); causal queries are the last of the positions."""
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if is_causal:
        q_len, k_len = scores.shape[-2:]
        scores = np.where(np.tri(q_len, k_len, k_len - q_len, dtype=bool), scores, -np.inf)
    largest = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - largest)
    total = powers.sum(axis=-1, keepdims=True)
    weights = powers / total
    return Attended(weights @ v, (largest + np.log(total))[..., 0], weights)


def gradients(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, grad_out: np.ndarray, is_causal: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of q, k and v, by the chain rule through the softmax's matrix.

    Source: Dao 2023, "FlashAttention-2", section 2.2.
    """
    q, k, v, grad_out = (np.asarray(x, dtype=np.float64) for x in (q, k, v, grad_out))
    weights = attended(q, k, v, is_causal).weights
    grad_weights = grad_out @ np.swapaxes(v, -1, -2)
    grad_scores = weights * (grad_weights - (weights * grad_weights).sum(axis=-1, keepdims=True))
    grad_scores /= np.sqrt(q.shape[-1])
    return (
        grad_scores @ k,
        np.swapaxes(grad_scores, -1, -2) @ q,
        np.swapaxes(weights, -1, -2) @ grad_out,
    )
