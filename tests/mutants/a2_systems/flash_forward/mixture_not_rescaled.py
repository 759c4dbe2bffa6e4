"""A larger maximum scales the sum down, and not what was mixed before."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_rising_scores_rescale_what_was_summed"
CHANGES = (("mixed = mixed * kept[..., None] + weights @ v", "mixed = mixed + weights @ v"),)
