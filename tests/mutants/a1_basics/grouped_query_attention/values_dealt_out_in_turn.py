"""Keys of the right pair, values of another."""

REJECTED_BY = "test_neighbouring_heads_share"
BASE = "rungs_plain"
CHANGES = (("v = v.repeat_interleave(group, dim=-3)", "v = torch.cat([v] * group, dim=-3)"),)
