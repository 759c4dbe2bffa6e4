"""Reads the incoming gradient as if it were contiguous."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_an_expanded_gradient"
CHANGES = (
    (
        "(part.float() for part in (Q, K, V, grad_out))",
        "(part.float() for part in (Q, K, V, grad_out.as_strided(out.shape, out.stride())))",
    ),
)
