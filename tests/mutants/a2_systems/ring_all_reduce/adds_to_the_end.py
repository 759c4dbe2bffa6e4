"""Adds in the second half too, where whole sums go round."""

REJECTED_BY = "test_every_rank_has_the_sum"
BASE = "ring_batched"
CHANGES = (
    (
        "if k < n - 1:",
        "if k >= 0:",
    ),
)
