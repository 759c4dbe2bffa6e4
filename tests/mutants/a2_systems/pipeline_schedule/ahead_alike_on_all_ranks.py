"""Every rank goes as far ahead as the first."""

REJECTED_BY = "test_1f1b_holds_few_activations"
BASE = "pipeline_plain"
CHANGES = (("ahead = num_stages - 1 - rank", "ahead = num_stages - 1"),)
