"""Queries and keys learn, values do not."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_gradients_equal_the_oracles"
CHANGES = (("grad_v.to(V.dtype)", "grad_v.to(V.dtype).mul(0)"),)
