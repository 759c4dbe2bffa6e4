"""The rungs that older and newer transformers differ by, in float64 and as plainly as they can be said."""

import math
from collections.abc import Sequence

import numpy as np

from tests.oracles.layers import linear, rms_norm
from tests.oracles.transformer import self_attention

QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def causal_average(x: np.ndarray) -> np.ndarray:
    """For x (..., seq, d_model) the mean of positions 0 .. i, position by position."""
    x = np.asarray(x, dtype=np.float64)
    return np.stack([x[..., : i + 1, :].sum(axis=-2) / (i + 1) for i in range(x.shape[-2])], axis=-2)


def layer_norm(x: np.ndarray, gain: np.ndarray, offset: np.ndarray, eps: float) -> np.ndarray:
    """Each vector of x (..., d_model) minus its mean, over the root of its variance plus eps; times gain, plus offset.

    Source: Ba, Kiros and Hinton 2016, "Layer Normalization", equation 4.
    """
    x = np.asarray(x, dtype=np.float64)
    centred = x - x.sum(axis=-1, keepdims=True) / x.shape[-1]
    variance = (centred * centred).sum(axis=-1, keepdims=True) / x.shape[-1]
    return centred / np.sqrt(variance + eps) * np.asarray(gain, np.float64) + np.asarray(offset, np.float64)


def gelu(x: np.ndarray) -> np.ndarray:
    """Number by number. Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2, with tanh."""
    x = np.asarray(x, dtype=np.float64)
    values = [
        0.5 * number * (1 + math.tanh(math.sqrt(2 / math.pi) * (number + 0.044715 * number**3)))
        for number in x.ravel().tolist()
    ]
    return np.array(values).reshape(x.shape)


def gelu_feedforward(
    x: np.ndarray, w1: np.ndarray, b1: np.ndarray, w2: np.ndarray, b2: np.ndarray
) -> np.ndarray:
    """w2 gelu(w1 x + b1) + b2."""
    return linear(gelu(linear(x, w1) + b1), w2) + b2


def grouped_attention(
    x: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, o: np.ndarray, heads: int, kv_heads: int
) -> np.ndarray:
    """Multi-head attention in which each key and value head is written down once for every query head of its group.

    Source: Ainslie et al. 2023, "GQA", section 2.2.
    """

    def repeated(weight: np.ndarray) -> np.ndarray:
        per_head = np.split(np.asarray(weight), kv_heads)
        return np.concatenate([per_head[head // (heads // kv_heads)] for head in range(heads)])

    return self_attention(x, q, repeated(k), repeated(v), o, heads)


def qk_norm_scores(
    q: np.ndarray, k: np.ndarray, q_gain: np.ndarray, k_gain: np.ndarray, eps: float
) -> np.ndarray:
    """Inner products of normalised queries (..., q_len, d_k) and keys (..., k_len, d_k) over the root of d_k."""
    q, k = rms_norm(q, q_gain, eps), rms_norm(k, k_gain, eps)
    return (q[..., :, None, :] * k[..., None, :, :]).sum(axis=-1) / math.sqrt(q.shape[-1])


def quintic(values: np.ndarray) -> np.ndarray:
    """What the rounds of Newton-Schulz make of singular values."""
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        values = a * values + b * values**3 + c * values**5
    return values


def newton_schulz(matrix: np.ndarray) -> np.ndarray:
    """The polynomial applied to each singular value, by way of a singular value decomposition.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    left, values, right = np.linalg.svd(np.asarray(matrix, dtype=np.float64), full_matrices=False)
    size = math.sqrt(float((values**2).sum()))
    return left * quintic(values / size) @ right if size else np.zeros(left.shape[:1] + right.shape[1:])


def muon_path(
    start: np.ndarray, gradients: Sequence[np.ndarray], lr: float, beta: float, weight_decay: float
) -> list[np.ndarray]:
    """The weights after each step.

    Source: Liu et al. 2025, "Muon is Scalable for LLM Training", equation 4, with Nesterov's momentum.
    """
    weight, momentum = np.array(start, dtype=np.float64), np.zeros(start.shape)
    after = []
    for gradient in gradients:
        gradient = np.asarray(gradient, dtype=np.float64)
        momentum = beta * momentum + (1 - beta) * gradient
        ahead = beta * momentum + (1 - beta) * gradient
        step = 0.2 * math.sqrt(max(weight.shape)) * newton_schulz(ahead)
        weight = (1 - lr * weight_decay) * weight - lr * step
        after.append(weight)
    return after
