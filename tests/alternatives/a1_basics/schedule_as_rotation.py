"""The schedule from a number on the unit circle that turns by half a turn while the rate decays."""

import cmath

SOLVES = ("learning_rate_schedule",)


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if warmup_iters > it:
        return max_learning_rate * (it / warmup_iters)
    middle, swing = (
        (max_learning_rate + min_learning_rate) / 2,
        (max_learning_rate - min_learning_rate) / 2,
    )
    length = cosine_cycle_iters - warmup_iters
    turned = min((it - warmup_iters) / length, 1.0) if length else float(it > warmup_iters)
    return middle + swing * cmath.exp(1j * cmath.pi * turned).real
