"""Backward aligns the causal mask at the upper left, forward at the lower right."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_any_lengths"
CHANGES = ((".tril(k_len - q_len)", ".tril()"),)
