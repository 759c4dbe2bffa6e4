"""Leaves the position itself out, and the first has nothing."""

REJECTED_BY = "test_the_first_position_keeps_its_vector"
BASE = "rungs_plain"
CHANGES = (("dtype=in_features.dtype).tril()", "dtype=in_features.dtype).tril(-1)"),)
