"""Spreads the cosine over twice the steps of the job: the rate never comes down."""

from a1_basics import adapters

REJECTED_BY = "test_rate_follows_the_schedule"


def slow(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    return schedule(it, max_learning_rate, min_learning_rate, warmup_iters, 2 * cosine_cycle_iters)


schedule = adapters.run_get_lr_cosine_schedule
adapters.run_get_lr_cosine_schedule = slow
train = adapters.train
