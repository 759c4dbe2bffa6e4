"""Exponentials of bare scores: right for the small numbers of a test, infinite in a long training."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_large_scores_stay_finite"
CHANGES = (("higher = torch.maximum(largest, scores.amax(-1))", "higher = torch.zeros(q.shape[:-1])"),)
