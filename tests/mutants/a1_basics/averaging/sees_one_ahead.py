"""The triangle one diagonal too wide: each position reads the next."""

REJECTED_BY = "test_the_future_does_not_matter"
BASE = "rungs_plain"
CHANGES = (("dtype=in_features.dtype).tril()", "dtype=in_features.dtype).tril(1)"),)
