"""Runs along dimension 1, whatever leads: right for batches, and only for them."""

REJECTED_BY = "test_any_leading_dimensions"
BASE = "rungs_plain"
CHANGES = (
    (
        "return allowed @ in_features / counts[:, None]",
        "return in_features.cumsum(1 if in_features.dim() > 2 else 0) / counts[:, None]",
    ),
)
