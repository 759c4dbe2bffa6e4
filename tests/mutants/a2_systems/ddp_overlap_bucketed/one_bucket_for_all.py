"""One bucket, whatever size was asked for."""

REJECTED_BY = "test_buckets_have_the_size_that_was_asked_for"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "limit=bucket_size_mb * 1e6",
        "limit=2**40",
    ),
)
