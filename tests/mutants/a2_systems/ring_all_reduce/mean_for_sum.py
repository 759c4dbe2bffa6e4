"""Leaves the mean."""

REJECTED_BY = "test_every_rank_has_the_sum"
BASE = "ring_direct"
CHANGES = (
    (
        "    works = [dist.isend(mine, other) for other in others]",
        "    mine.copy_(mine / world)\n    works = [dist.isend(mine, other) for other in others]",
    ),
)
