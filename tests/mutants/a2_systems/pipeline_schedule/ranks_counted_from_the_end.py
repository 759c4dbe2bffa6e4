"""The last rank goes ahead furthest, and waits for what the first will never send."""

REJECTED_BY = "test_no_rank_waits_for_ever"
BASE = "pipeline_plain"
CHANGES = (("ahead = num_stages - 1 - rank", "ahead = rank"),)
