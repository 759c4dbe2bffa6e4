"""Does not divide the scores."""

REJECTED_BY = "test_the_scale_is_that_of_a_head"
BASE = "rungs_plain"
CHANGES = (
    (
        ("scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])\n    future"),
        "scores = q @ k.transpose(-2, -1)\n    future",
    ),
)
