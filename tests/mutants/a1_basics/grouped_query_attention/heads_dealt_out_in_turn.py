"""Head h reads pair h % num_kv_heads."""

REJECTED_BY = "test_neighbouring_heads_share"
BASE = "rungs_plain"
CHANGES = (
    ("k = k.repeat_interleave(group, dim=-3)", "k = torch.cat([k] * group, dim=-3)"),
    ("v = v.repeat_interleave(group, dim=-3)", "v = torch.cat([v] * group, dim=-3)"),
)
