"""Does not ask whether it is in training."""

REJECTED_BY = "test_evaluation_changes_nothing"
BASE = "rungs_plain"
CHANGES = (("if not is_training or drop_fraction == 0:", "if drop_fraction == 0:"),)
