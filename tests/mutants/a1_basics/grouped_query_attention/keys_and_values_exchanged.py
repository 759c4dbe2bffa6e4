"""Mixes keys, by scores with values."""

REJECTED_BY = "test_a_token_alone_reads_itself"
BASE = "rungs_plain"
CHANGES = (
    ("v = v.repeat_interleave(group, dim=-3)", "v = v.repeat_interleave(group, dim=-3)\n    k, v = v, k"),
)
