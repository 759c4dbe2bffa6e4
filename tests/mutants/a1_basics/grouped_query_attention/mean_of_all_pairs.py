"""Averages the pairs for all heads."""

REJECTED_BY = "test_with_a_pair_for_every_head_it_is_multi_head_attention"
BASE = "rungs_plain"
CHANGES = (
    ("k = k.repeat_interleave(group, dim=-3)", "k = k.mean(dim=-3, keepdim=True).expand(q.shape)"),
    ("v = v.repeat_interleave(group, dim=-3)", "v = v.mean(dim=-3, keepdim=True).expand(q.shape)"),
)
