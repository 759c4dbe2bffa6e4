"""Cuts chunks of equal length and forgets what is left over."""

REJECTED_BY = "test_every_rank_has_the_sum"
BASE = "ring_blocking"
CHANGES = (
    (
        "i * flat.numel() // world",
        "i * (flat.numel() // world)",
    ),
)
