"""One tile as large as the text: the matrix of scores after all, under another name."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_no_matrix_of_scores"
CHANGES = (("TILE = 64", "TILE = 1 << 20"),)
