"""A microbatch goes back before the next one comes in: nothing overlaps."""

REJECTED_BY = "test_the_bubble_is_that_of_filling_and_emptying"
BASE = "pipeline_plain"
CHANGES = (
    (
        'return [("F", rank, i) for i in every] + [("B", rank, i) for i in every]',
        'return [(kind, rank, i) for i in every for kind in "FB"]',
    ),
)
