"""Takes gains as differences from one."""

REJECTED_BY = "test_by_hand"
BASE = "rungs_plain"
CHANGES = (("normed * weights + biases", "normed * (1 + weights) + biases"),)
