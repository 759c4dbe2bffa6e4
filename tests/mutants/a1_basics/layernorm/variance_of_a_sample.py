"""Divides by d_model - 1."""

REJECTED_BY = "test_the_mean_becomes_zero_and_the_variance_one"
BASE = "rungs_plain"
CHANGES = (
    (
        "variance = ((wide - mean) ** 2).mean(dim=-1, keepdim=True)",
        "variance = wide.var(dim=-1, keepdim=True)",
    ),
)
