"""Draws in bfloat16, which cannot tell 0.999 from 1."""

REJECTED_BY = "test_small_fractions_work_in_bfloat16"
BASE = "rungs_plain"
CHANGES = (
    (
        "kept = torch.rand(in_features.shape) >= drop_fraction",
        "kept = torch.rand_like(in_features) < 1 - drop_fraction",
    ),
)
