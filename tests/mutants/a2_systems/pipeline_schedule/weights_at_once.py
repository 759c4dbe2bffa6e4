"""The backward pass is cut in two and run as one."""

REJECTED_BY = "test_zero_bubble_fills_the_gaps_with_weights"
BASE = "pipeline_plain"
CHANGES = (
    (
        '            if i >= rank:\n                steps.append(("W", rank, i - rank))\n',
        '            steps.append(("W", rank, i))\n',
    ),
    ("every[max(num_microbatches - rank, 0) :]", "()"),
)
