"""The schedule as numpy interpolation for the warm-up, and the cosine as the square of a half-angle cosine."""

import numpy as np

SOLVES = ("learning_rate_schedule",)


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    warm = float(np.interp(it, [0, warmup_iters], [0, max_learning_rate])) if warmup_iters else 0.0
    if it < warmup_iters:
        return warm
    if it >= cosine_cycle_iters:
        return min_learning_rate
    angle = np.pi / 2 * (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)
    return float(min_learning_rate + (max_learning_rate - min_learning_rate) * np.cos(angle) ** 2)
