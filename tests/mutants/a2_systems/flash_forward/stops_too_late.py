"""Stops far beyond the diagonal: it is measured from the end of the texts, not from the queries of the tile."""

REJECTED_BY = "test_tiles_beyond_the_diagonal_are_not_visited"
BASE = "flash_queries_outside"
CHANGES = (("(tile + 1) * ROWS + k_len - q_len)", "(tile + 1) * ROWS + k_len)"),)
