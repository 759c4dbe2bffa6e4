"""Sums in a copy."""

REJECTED_BY = "test_every_rank_has_the_sum"
BASE = "ring_batched"
CHANGES = (
    (
        "tensor.view(-1)",
        "tensor.clone().view(-1)",
    ),
)
