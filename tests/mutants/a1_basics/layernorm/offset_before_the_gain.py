"""Adds the offset first, and scales it too."""

REJECTED_BY = "test_each_coordinate_has_its_gain_and_its_offset"
BASE = "rungs_plain"
CHANGES = (("normed * weights + biases", "(normed + biases) * weights"),)
