"""Squares in half precision: 300 squared is infinite."""

REJECTED_BY = "test_float16_squares_do_not_overflow"
BASE = "rungs_plain"
CHANGES = (("wide = in_features.float()\n    mean", "wide = in_features\n    mean"),)
