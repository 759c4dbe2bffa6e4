"""Takes MB for kB."""

REJECTED_BY = "test_buckets_have_the_size_that_was_asked_for"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "limit=bucket_size_mb * 1e6",
        "limit=bucket_size_mb * 1e3",
    ),
)
