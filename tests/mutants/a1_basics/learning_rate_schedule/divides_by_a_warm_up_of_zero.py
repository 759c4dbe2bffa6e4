"""Divides by warmup_iters before it looks whether there is a warm-up."""

import math

REJECTED_BY = "test_without_warm_up_the_maximum_stands_at_step_zero"


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    warm = it / warmup_iters
    if warm < 1:
        return warm * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    length = max(cosine_cycle_iters - warmup_iters, 1)
    progress = (it - warmup_iters) / length
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return min_learning_rate + cosine * (max_learning_rate - min_learning_rate)
