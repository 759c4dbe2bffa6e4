"""Every rank keeps the state of all parameters: right numbers, and no memory saved."""

REJECTED_BY = "test_state_is_shared_by_size"
BASE = "sharded_contiguous_runs"
CHANGES = ((" if self.owner[p] == self.rank]}", "]}"),)
