"""Leaves out D: each score gets a gradient as if it were not normalised."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_gradients_equal_the_oracles"
CHANGES = (("(grad @ v.mT - row_dot)", "(grad @ v.mT)"),)
