"""Multi-query attention, whatever was asked."""

REJECTED_BY = "test_heads_of_a_group_that_ask_the_same_read_the_same"
BASE = "rungs_plain"
CHANGES = (
    ("k = k.repeat_interleave(group, dim=-3)", "k = k[..., :1, :, :].expand(q.shape)"),
    ("v = v.repeat_interleave(group, dim=-3)", "v = v[..., :1, :, :].expand(q.shape)"),
)
