"""A piecewise linear sigmoid: cheaper, and another function."""

REJECTED_BY = "test_it_dips_below_zero_once"


def run_silu(in_features):
    return in_features * ((in_features + 3) / 6).clamp(0, 1)
