"""The factor of the smaller side: wide matrices learn too slowly."""

REJECTED_BY = "test_first_step"
BASE = "rungs_plain"
CHANGES = (("size = 0.2 * math.sqrt(max(weights.shape))", "size = 0.2 * math.sqrt(min(weights.shape))"),)
