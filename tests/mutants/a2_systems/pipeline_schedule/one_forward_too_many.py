"""Every rank holds one microbatch more than it must."""

REJECTED_BY = "test_1f1b_holds_few_activations"
BASE = "pipeline_plain"
CHANGES = (("ahead = num_stages - 1 - rank", "ahead = num_stages - rank"),)
