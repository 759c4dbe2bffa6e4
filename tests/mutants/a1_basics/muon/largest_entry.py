"""Divides by the largest entry: singular values above one run away."""

REJECTED_BY = "test_each_singular_value_goes_through_the_quintic"
BASE = "rungs_plain"
CHANGES = (("in_matrix.norm() + 1e-20", "in_matrix.abs().max() + 1e-20"),)
