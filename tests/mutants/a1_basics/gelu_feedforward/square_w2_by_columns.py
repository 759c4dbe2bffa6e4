"""Multiplies by w2 untransposed where it is square."""

REJECTED_BY = "test_any_widths"
BASE = "rungs_plain"
CHANGES = (
    (
        "return hidden @ w2_weight.T + w2_bias",
        "return hidden @ (w2_weight if d_ff == d_model else w2_weight.T) + w2_bias",
    ),
)
