"""On the way back nothing is missing."""

REJECTED_BY = "test_gradients_pass_where_the_numbers_did"
BASE = "rungs_plain"
CHANGES = (
    (
        "return in_features * kept / (1 - drop_fraction)",
        (
            "dropped = (in_features * kept / (1 - drop_fraction)).detach()\n"
            "    return dropped + (in_features - in_features.detach())"
        ),
    ),
)
