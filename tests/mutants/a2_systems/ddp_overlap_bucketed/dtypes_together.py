"""Puts two dtypes into one bucket."""

REJECTED_BY = "test_dtypes_travel_apart"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "size > room or p.dtype != dtype",
        "size > room",
    ),
)
