"""Adds its input: the block does that."""

REJECTED_BY = "test_any_leading_dimensions"
BASE = "rungs_plain"
CHANGES = (("return hidden @ w2_weight.T + w2_bias", "return in_features + hidden @ w2_weight.T + w2_bias"),)
