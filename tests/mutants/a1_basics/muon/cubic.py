"""The textbook's cubic, which needs many more rounds."""

REJECTED_BY = "test_all_singular_values_come_near_one"
BASE = "rungs_plain"
CHANGES = (
    ("x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x", "x = 1.5 * x - 0.5 * square @ x"),
)
