"""Keeps a table of the first schedule asked for, by step alone: the next job gets the same rates."""

import math

REJECTED_BY = "test_follows_the_formula"


table = {}


def run_get_lr_cosine_schedule(it, *args, **kwargs):
    if it not in table:
        table[it] = rate(it, *args, **kwargs)
    return table[it]


def rate(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    length = max(cosine_cycle_iters - warmup_iters, 1)
    progress = (it - warmup_iters) / length
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return min_learning_rate + cosine * (max_learning_rate - min_learning_rate)
