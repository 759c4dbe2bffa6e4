"""The mean of squares minus the square of the mean: nothing is left of it far from zero."""

REJECTED_BY = "test_far_from_zero_the_variance_survives"
BASE = "rungs_plain"
CHANGES = (
    (
        "variance = ((wide - mean) ** 2).mean(dim=-1, keepdim=True)",
        "variance = (wide**2).mean(dim=-1, keepdim=True) - mean**2",
    ),
)
