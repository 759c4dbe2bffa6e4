"""Scores of bfloat16 inputs are rounded to bfloat16."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_half_precision_is_summed_in_float32"
CHANGES = (
    (
        "scores = q @ k.mT * scale\n            if",
        "scores = (q @ k.mT * scale).to(Q.dtype).float()\n            if",
    ),
)
