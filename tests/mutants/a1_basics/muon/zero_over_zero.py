"""No guard: a matrix of zeros becomes NaN."""

REJECTED_BY = "test_a_matrix_of_zeros_stays_zero"
BASE = "rungs_plain"
CHANGES = (("in_matrix.norm() + 1e-20", "in_matrix.norm()"),)
