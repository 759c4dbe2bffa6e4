"""Keeps the weight in bfloat16: two digits, in a test with a tolerance of 1e-2 invisible."""

REJECTED_BY = "test_float32_precision"


def run_linear(d_in, d_out, weights, in_features):
    return in_features @ weights.bfloat16().to(in_features.dtype).T
