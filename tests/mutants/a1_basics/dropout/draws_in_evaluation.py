"""Draws the mask before it asks: each measurement moves the generator."""

REJECTED_BY = "test_evaluation_draws_nothing"
BASE = "rungs_plain"
CHANGES = (
    (
        "    if not is_training or drop_fraction == 0:",
        ("    torch.rand(in_features.shape)\n    if not is_training or drop_fraction == 0:"),
    ),
)
