"""A rank starts its first backward pass one forward pass early."""

REJECTED_BY = "test_the_bubble_is_that_of_filling_and_emptying"
BASE = "pipeline_plain"
CHANGES = (("ahead = num_stages - 1 - rank", "ahead = max(num_stages - 2 - rank, 0)"),)
