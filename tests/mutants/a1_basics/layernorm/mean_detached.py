"""The right numbers, and a gradient that does not know of the mean."""

REJECTED_BY = "test_gradients_equal_the_oracles_slope"
BASE = "rungs_plain"
CHANGES = (("mean = wide.mean(dim=-1, keepdim=True)", "mean = wide.mean(dim=-1, keepdim=True).detach()"),)
