"""Replaces its own part by the one that arrives."""

REJECTED_BY = "test_every_rank_has_the_sum"
BASE = "ring_batched"
CHANGES = (
    (
        "            into += got",
        "            into.copy_(got)",
    ),
)
