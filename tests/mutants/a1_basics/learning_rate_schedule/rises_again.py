"""Goes on along the cosine after its end: the rate rises to the maximum again."""

import math

REJECTED_BY = "test_after_the_cosine_the_rate_stays_at_the_minimum"


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    length = max(cosine_cycle_iters - warmup_iters, 1)
    progress = (it - warmup_iters) / length
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return min_learning_rate + cosine * (max_learning_rate - min_learning_rate)
