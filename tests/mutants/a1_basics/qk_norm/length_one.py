"""Vectors of length one: scores are d_k times too small."""

REJECTED_BY = "test_no_score_exceeds_the_root_of_the_width"
BASE = "rungs_plain"
CHANGES = (
    ("wide.square().mean(dim=-1, keepdim=True) + eps)", "wide.square().sum(dim=-1, keepdim=True) + eps)"),
)
