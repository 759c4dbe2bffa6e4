"""Keys never learn."""

REJECTED_BY = "test_gradients_equal_the_oracles_slope"
BASE = "rungs_plain"
CHANGES = (("k = k.repeat_interleave(group, dim=-3)", "k = k.repeat_interleave(group, dim=-3).detach()"),)
