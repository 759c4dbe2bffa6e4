"""Square matrices come back transposed."""

REJECTED_BY = "test_turned_matrices_give_turned_results"
BASE = "rungs_plain"
CHANGES = (("for _ in range(5):", ("if x.shape[0] == x.shape[1]:\n        x = x.T\n    for _ in range(5):")),)
