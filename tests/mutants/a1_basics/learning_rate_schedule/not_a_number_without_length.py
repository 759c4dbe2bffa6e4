"""Divides in numpy: a cosine without length gives NaN instead of an error, and NaN spoils every weight."""

import math

import numpy as np

REJECTED_BY = "test_cosine_without_length_is_a_jump"


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    with np.errstate(invalid="ignore"):
        progress = float(np.float64(it - warmup_iters) / np.float64(cosine_cycle_iters - warmup_iters))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return min_learning_rate + cosine * (max_learning_rate - min_learning_rate)
