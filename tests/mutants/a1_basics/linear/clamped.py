"""Clamps what comes out: an activation where none belongs, invisible for small numbers."""

REJECTED_BY = "test_sums_and_multiples_pass_through"


def run_linear(d_in, d_out, weights, in_features):
    return (in_features @ weights.T).clamp(-6, 6)
