"""Zeroes the caller's features."""

REJECTED_BY = "test_argument_is_left_alone"
BASE = "rungs_plain"
CHANGES = (
    (
        "return in_features * kept / (1 - drop_fraction)",
        (
            "if not in_features.requires_grad:\n"
            "        in_features *= kept\n"
            "    return in_features * kept / (1 - drop_fraction)"
        ),
    ),
)
