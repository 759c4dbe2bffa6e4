"""Computes every tile beyond the diagonal and masks all of it: right numbers, and twice the work."""

REJECTED_BY = "test_tiles_beyond_the_diagonal_are_not_visited"
BASE = "flash_queries_outside"
CHANGES = (("        end = tl.minimum(k_len, (tile + 1) * ROWS + k_len - q_len)", "        end = k_len"),)
