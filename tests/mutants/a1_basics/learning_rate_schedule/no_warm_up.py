"""Leaves the warm-up out: the first, largest gradients meet the highest rate."""

import math

REJECTED_BY = "test_warm_up_rises_evenly_from_zero"


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    length = max(cosine_cycle_iters - warmup_iters, 1)
    progress = (it - warmup_iters) / length
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return min_learning_rate + cosine * (max_learning_rate - min_learning_rate)
