"""Adds eps to the deviation."""

REJECTED_BY = "test_eps_stands_beside_the_variance"
BASE = "rungs_plain"
CHANGES = (
    (
        "normed = (wide - mean) / torch.sqrt(variance + eps)",
        "normed = (wide - mean) / (torch.sqrt(variance + 1e-20) + eps)",
    ),
)
