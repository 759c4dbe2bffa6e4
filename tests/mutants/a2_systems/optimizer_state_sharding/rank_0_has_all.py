"""Rank 0 owns everything: its memory is what it was, and the others wait for it."""

REJECTED_BY = "test_state_is_shared_by_size"
BASE = "sharded_contiguous_runs"
CHANGES = (("min(self.ranks - 1, (seen + p.numel() // 2) * self.ranks // total)", "0"),)
