"""Every weight gradient is put off to the end, and with it the memory of every microbatch."""

REJECTED_BY = "test_zero_bubble_holds_no_more_than_p"
BASE = "pipeline_plain"
CHANGES = (
    ('            if i >= rank:\n                steps.append(("W", rank, i - rank))\n', ""),
    ("every[max(num_microbatches - rank, 0) :]", "every"),
)
