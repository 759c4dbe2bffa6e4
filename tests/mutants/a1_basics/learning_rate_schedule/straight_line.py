"""Decays along a straight line."""

REJECTED_BY = "test_curve_is_flat_at_both_ends"


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it > cosine_cycle_iters:
        return min_learning_rate
    length = max(cosine_cycle_iters - warmup_iters, 1)
    progress = (it - warmup_iters) / length
    cosine = 1 - progress
    return min_learning_rate + cosine * (max_learning_rate - min_learning_rate)
