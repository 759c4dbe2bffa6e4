"""Makes the optimizer with the maximum and never writes a rate again: no warm-up, no cool-down."""

from a1_basics import adapters

REJECTED_BY = "test_rate_follows_the_schedule"


def constant(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    return max_learning_rate


adapters.run_get_lr_cosine_schedule = constant
train = adapters.train
