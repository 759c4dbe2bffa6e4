"""Divides by the root: the variance stays, the mean does not."""

REJECTED_BY = "test_what_stays_is_scaled_up"
BASE = "rungs_plain"
CHANGES = (
    (
        "return in_features * kept / (1 - drop_fraction)",
        "return in_features * kept / (1 - drop_fraction) ** 0.5",
    ),
)
