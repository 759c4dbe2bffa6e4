"""RMSNorm with an offset: nothing is subtracted."""

REJECTED_BY = "test_a_shift_falls_out"
BASE = "rungs_plain"
CHANGES = (("mean = wide.mean(dim=-1, keepdim=True)", "mean = torch.zeros_like(wide[..., :1])"),)
