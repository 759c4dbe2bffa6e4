"""Sends zeros for a missing gradient and gives it none back."""

REJECTED_BY = "test_parameters_that_a_batch_does_not_use"
BASE = "replicas_flag_rides_along"
CHANGES = (
    (
        "if flag else None",
        "if p.grad is not None else None",
    ),
)
