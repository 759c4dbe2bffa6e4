"""Divides by the length of the sequence: early positions are too small."""

REJECTED_BY = "test_equal_vectors_stay_as_they_are"
BASE = "rungs_plain"
CHANGES = (("return allowed @ in_features / counts[:, None]", "return allowed @ in_features / seq"),)
