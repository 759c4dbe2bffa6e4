"""Joins heads without turning them back."""

REJECTED_BY = "test_neighbouring_heads_share"
BASE = "rungs_plain"
CHANGES = (("return read.transpose(-3, -2).reshape", "return read.reshape"),)
