"""Zeroes, and leaves the rest as it is."""

REJECTED_BY = "test_what_stays_is_scaled_up"
BASE = "rungs_plain"
CHANGES = (("return in_features * kept / (1 - drop_fraction)", "return in_features * kept"),)
