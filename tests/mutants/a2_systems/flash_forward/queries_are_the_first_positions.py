"""Aligns the causal mask at the upper left: the last token sees only the first keys."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_any_lengths"
CHANGES = (("torch.arange(i, i + q.shape[-2]) + (k_len - q_len)", "torch.arange(i, i + q.shape[-2])"),)
