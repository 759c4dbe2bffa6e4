"""A mean that fades: what lies further back counts less."""

REJECTED_BY = "test_the_order_of_the_past_does_not_matter"
BASE = "rungs_plain"
CHANGES = (
    (
        "return allowed @ in_features / counts[:, None]",
        (
            "fading = allowed * 0.9 ** (counts[:, None] - counts)\n"
            "    return fading @ in_features / fading.sum(1, keepdim=True)"
        ),
    ),
)
