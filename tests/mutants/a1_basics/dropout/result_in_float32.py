"""Gives float32 back, whatever came."""

REJECTED_BY = "test_dtype_is_kept"
BASE = "rungs_plain"
CHANGES = (
    (
        "return in_features * kept / (1 - drop_fraction)",
        "return (in_features * kept / (1 - drop_fraction)).float()",
    ),
)
