"""The offset never learns."""

REJECTED_BY = "test_gradients_reach_gain_and_offset"
BASE = "rungs_plain"
CHANGES = (("normed * weights + biases", "normed * weights + biases.detach()"),)
