"""Does not divide: works for gradients that happen to be small enough."""

REJECTED_BY = "test_the_size_of_the_matrix_falls_out"
BASE = "rungs_plain"
CHANGES = (("x = in_matrix / (in_matrix.norm() + 1e-20)", "x = in_matrix + 0"),)
