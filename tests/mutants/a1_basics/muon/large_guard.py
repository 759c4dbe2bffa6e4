"""A guard that small gradients notice."""

REJECTED_BY = "test_the_size_of_the_matrix_falls_out"
BASE = "rungs_plain"
CHANGES = (("in_matrix.norm() + 1e-20", "in_matrix.norm() + 1e-4"),)
