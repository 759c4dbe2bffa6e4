"""The scaling of the first paper: in evaluation, and none in training."""

REJECTED_BY = "test_evaluation_changes_nothing"
BASE = "rungs_plain"
CHANGES = (
    ("        return in_features\n    kept", "        return in_features * (1 - drop_fraction)\n    kept"),
    ("return in_features * kept / (1 - drop_fraction)", "return in_features * kept"),
)
