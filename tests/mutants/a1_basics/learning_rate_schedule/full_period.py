"""Takes a whole period of the cosine: the rate is back at the maximum at the end."""

import math

REJECTED_BY = "test_cosine_falls_from_the_maximum_to_the_minimum"


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    length = max(cosine_cycle_iters - warmup_iters, 1)
    progress = (it - warmup_iters) / length
    cosine = 0.5 * (1 + math.cos(2 * math.pi * progress))
    return min_learning_rate + cosine * (max_learning_rate - min_learning_rate)
