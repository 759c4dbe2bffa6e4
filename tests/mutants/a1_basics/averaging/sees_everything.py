"""The mean of the whole sequence, at every position."""

REJECTED_BY = "test_the_future_does_not_matter"
BASE = "rungs_plain"
CHANGES = (
    (".tril()\n    counts", "\n    counts"),
    ("torch.arange(1, seq + 1, dtype=in_features.dtype)", "torch.full((seq,), seq, dtype=in_features.dtype)"),
)
