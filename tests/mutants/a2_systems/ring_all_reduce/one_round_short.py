"""Stops one round too early."""

REJECTED_BY = "test_every_rank_has_the_sum"
BASE = "ring_batched"
CHANGES = (
    (
        "range(2 * (n - 1))",
        "range(2 * (n - 1) - 1)",
    ),
)
