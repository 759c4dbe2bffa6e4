"""LayerNorm on queries and keys."""

REJECTED_BY = "test_by_hand"
BASE = "rungs_plain"
CHANGES = (
    (
        "wide = x.float()\n    return",
        ("wide = x.float()\n    wide = wide - wide.mean(-1, keepdim=True)\n    return"),
    ),
)
