"""Gives float32 back, whatever came."""

REJECTED_BY = "test_dtype_is_kept"
BASE = "rungs_plain"
CHANGES = (
    (
        "return allowed @ in_features / counts[:, None]",
        "return (allowed @ in_features / counts[:, None]).float()",
    ),
)
