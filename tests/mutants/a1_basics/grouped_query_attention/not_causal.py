"""Sees the future."""

REJECTED_BY = "test_the_future_is_hidden"
BASE = "rungs_plain"
CHANGES = (("torch.ones(seq, seq, dtype=torch.bool).triu(1)", "torch.zeros(seq, seq, dtype=torch.bool)"),)
