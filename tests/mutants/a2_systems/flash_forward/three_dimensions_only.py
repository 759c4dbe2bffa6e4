"""The kernel's class takes the first dimension for the batch and the second for the text."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_any_leading_dimensions"
CHANGES = (
    (
        "(part.flatten(0, -3) for part in (Q, K, V))",
        "(part[:, 0] if part.dim() == 4 else part for part in (Q, K, V))",
    ),
)
