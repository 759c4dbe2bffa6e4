"""The parts of a transformer that look at one position at a time, in float64 and as plainly as they can be said."""

import math

import numpy as np


def linear(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """For x (..., d_in) the inner products with each row of the weight (d_out, d_in)."""
    x, weight = np.asarray(x, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    return np.stack([(x * row).sum(axis=-1) for row in weight], axis=-1)


def rms_norm(x: np.ndarray, gain: np.ndarray, eps: float) -> np.ndarray:
    """Each vector of x (..., d_model) over the root of its mean square plus eps, times the gain.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4.
    """
    x = np.asarray(x, dtype=np.float64)
    mean_square = (x * x).sum(axis=-1, keepdims=True) / x.shape[-1]
    return x / np.sqrt(mean_square + eps) * np.asarray(gain, dtype=np.float64)


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x), from whichever side does not overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def silu(x: np.ndarray) -> np.ndarray:
    """x sigmoid(x), number by number. Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units"."""
    x = np.asarray(x, dtype=np.float64)
    return np.array([number * sigmoid(number) for number in x.ravel().tolist()]).reshape(x.shape)


def silu_slope(x: np.ndarray) -> np.ndarray:
    """Its derivative, sigmoid(x) (1 + x (1 - sigmoid(x))), number by number."""
    x = np.asarray(x, dtype=np.float64)
    slopes = [sigmoid(number) * (1 + number * sigmoid(-number)) for number in x.ravel().tolist()]
    return np.array(slopes).reshape(x.shape)


def swiglu(x: np.ndarray, w1: np.ndarray, w2: np.ndarray, w3: np.ndarray) -> np.ndarray:
    """w2 (silu(w1 x) * w3 x). Source: Shazeer 2020, "GLU Variants Improve Transformer", equation 6."""
    return linear(silu(linear(x, w1)) * linear(x, w3), w2)


def softmax(x: np.ndarray, dim: int) -> np.ndarray:
    """e^x over its sum along one dimension; one row at a time, shifted by the row's largest number."""
    rows = np.moveaxis(np.array(x, dtype=np.float64), dim, -1)
    result = np.empty_like(rows)
    for place in np.ndindex(rows.shape[:-1]):
        powers = [math.exp(number - max(rows[place])) for number in rows[place]]
        result[place] = [power / sum(powers) for power in powers]
    return np.moveaxis(result, -1, dim)


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    """The mean over all predictions of ln sum e^logit - logit of the target, in nats."""
    logits = np.asarray(logits, dtype=np.float64)
    losses = []
    for place in np.ndindex(logits.shape[:-1]):
        row = logits[place].tolist()
        largest = max(row)
        total = sum(math.exp(number - largest) for number in row)
        losses.append(math.log(total) + largest - row[int(np.asarray(targets)[place])])
    return sum(losses) / len(losses)
