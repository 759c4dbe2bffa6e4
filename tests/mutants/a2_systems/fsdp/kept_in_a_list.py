"""Keeps every whole matrix that was gathered last."""

REJECTED_BY = "test_whole_matrices_are_given_back"
BASE = "fsdp_saved_tensors"
CHANGES = (
    ("        return whole[: self.rows]\n", "        self.kept = whole\n        return whole[: self.rows]\n"),
)
