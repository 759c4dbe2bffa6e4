"""Decay does not follow the schedule."""

REJECTED_BY = "test_without_a_gradient_only_decay_is_left"
BASE = "rungs_plain"
CHANGES = (("(1 - lr * weight_decay) * weights", "(1 - weight_decay) * weights"),)
