"""Leaves out the division: scores grow with the width."""

REJECTED_BY = "test_no_score_exceeds_the_root_of_the_width"
BASE = "rungs_plain"
CHANGES = (("return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])", "return q @ k.transpose(-2, -1)"),)
