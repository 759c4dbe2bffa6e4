"""Divides by the root of the width of all keys."""

REJECTED_BY = "test_the_scale_is_that_of_a_head"
BASE = "rungs_plain"
CHANGES = (("math.sqrt(q.shape[-1])\n    future", "math.sqrt(k_proj_weight.shape[0])\n    future"),)
