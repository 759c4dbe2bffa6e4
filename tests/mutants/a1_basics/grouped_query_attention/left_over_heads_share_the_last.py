"""Heads that are left over read the last pair."""

REJECTED_BY = "test_heads_that_cannot_be_shared_are_refused"
BASE = "rungs_plain"
CHANGES = (
    (('    if num_heads % num_kv_heads:\n        raise ValueError("heads cannot be shared out")\n'), ""),
    (
        "k = k.repeat_interleave(group, dim=-3)",
        ("pair = (torch.arange(num_heads) // group).clamp(max=num_kv_heads - 1)\n    k = k[..., pair, :, :]"),
    ),
    ("v = v.repeat_interleave(group, dim=-3)", "v = v[..., pair, :, :]"),
)
