"""One mean and one variance for all vectors."""

REJECTED_BY = "test_any_leading_dimensions"
BASE = "rungs_plain"
CHANGES = (
    ("mean = wide.mean(dim=-1, keepdim=True)", "mean = wide.mean()"),
    ("variance = ((wide - mean) ** 2).mean(dim=-1, keepdim=True)", "variance = ((wide - mean) ** 2).mean()"),
)
