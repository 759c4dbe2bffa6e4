"""What was read learns nothing from it."""

REJECTED_BY = "test_gradients_reach_all_that_was_read"
BASE = "rungs_plain"
CHANGES = (
    (
        "return allowed @ in_features / counts[:, None]",
        (
            "means = (allowed @ in_features / counts[:, None]).detach()\n"
            "    return means + (in_features - in_features.detach()) / counts[:, None]"
        ),
    ),
)
