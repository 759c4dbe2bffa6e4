"""Leaves the second bias out."""

REJECTED_BY = "test_both_biases_count"
BASE = "rungs_plain"
CHANGES = (("return hidden @ w2_weight.T + w2_bias", "return hidden @ w2_weight.T"),)
