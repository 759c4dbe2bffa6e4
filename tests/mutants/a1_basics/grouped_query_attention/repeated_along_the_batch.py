"""Counts the heads' dimension from the left."""

REJECTED_BY = "test_any_leading_dimensions"
BASE = "rungs_plain"
CHANGES = (
    ("k = k.repeat_interleave(group, dim=-3)", "k = k.repeat_interleave(group, dim=1 if k.dim() > 3 else 0)"),
    ("v = v.repeat_interleave(group, dim=-3)", "v = v.repeat_interleave(group, dim=1 if v.dim() > 3 else 0)"),
)
