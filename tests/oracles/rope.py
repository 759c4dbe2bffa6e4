"""Rotary position embeddings, one pair of numbers at a time, in float64."""

import math

import numpy as np


def rotate(x: np.ndarray, positions: np.ndarray, theta: float) -> np.ndarray:
    """Every neighbouring pair (2k, 2k+1) of x (..., seq, d_k) turned by position * theta ** (-2k / d_k).

    Positions broadcast against all dimensions of x but the last.
    Source: Su et al. 2021, "RoFormer", equations 14 and 15.
    """
    x = np.asarray(x, dtype=np.float64)
    positions = np.broadcast_to(positions, x.shape[:-1])
    turned = np.empty_like(x)
    d_k = x.shape[-1]
    for place in np.ndindex(x.shape[:-1]):
        for k in range(d_k // 2):
            angle = float(positions[place]) * theta ** (-2 * k / d_k)
            first, second = x[place][2 * k], x[place][2 * k + 1]
            turned[place][2 * k] = first * math.cos(angle) - second * math.sin(angle)
            turned[place][2 * k + 1] = first * math.sin(angle) + second * math.cos(angle)
    return turned
