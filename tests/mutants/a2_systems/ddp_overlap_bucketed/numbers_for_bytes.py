"""Fills buckets by numbers, not by bytes."""

REJECTED_BY = "test_buckets_have_the_size_that_was_asked_for"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "size = p.numel() * p.element_size()",
        "size = p.numel()",
    ),
)
