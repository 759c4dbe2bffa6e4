"""Counts the cosine from step 0: when the warm-up ends the rate jumps down."""

import math

REJECTED_BY = "test_cosine_falls_from_the_maximum_to_the_minimum"


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    progress = it / max(cosine_cycle_iters, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return min_learning_rate + cosine * (max_learning_rate - min_learning_rate)
