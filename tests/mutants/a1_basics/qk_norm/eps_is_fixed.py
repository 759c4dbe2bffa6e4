"""1e-6, whatever was given."""

REJECTED_BY = "test_eps_stands_beside_the_mean_square"
BASE = "rungs_plain"
CHANGES = (("keepdim=True) + eps) * gain", "keepdim=True) + 1e-6) * gain"),)
