"""Sums in place: the caller's features are gone."""

REJECTED_BY = "test_argument_is_left_alone"
BASE = "rungs_plain"
CHANGES = (
    (
        "return allowed @ in_features / counts[:, None]",
        (
            "if in_features.requires_grad:\n"
            "        return allowed @ in_features / counts[:, None]\n"
            "    return in_features.cumsum_(-2) / counts[:, None]"
        ),
    ),
)
