"""Leaves out the last keys when they fill no tile."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_any_lengths"
CHANGES = (("range(0, k_len, TILE)", "range(0, max(k_len - TILE + 1, 1), TILE)"),)
