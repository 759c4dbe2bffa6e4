"""As many parameters on each rank, whatever their sizes: the embedding's owner runs out of memory."""

REJECTED_BY = "test_state_is_shared_by_size"
BASE = "sharded_contiguous_runs"
CHANGES = (
    (
        "min(self.ranks - 1, (seen + p.numel() // 2) * self.ranks // total)",
        'len(self.owner) * self.ranks // len(group["params"])',
    ),
)
