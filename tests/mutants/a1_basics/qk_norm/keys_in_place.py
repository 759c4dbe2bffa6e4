"""Normalises the cached keys themselves."""

REJECTED_BY = "test_arguments_are_left_alone"
BASE = "rungs_plain"
CHANGES = (
    (
        "q, k = norm(Q, q_weights, eps), norm(K, k_weights, eps)",
        (
            "q, k = norm(Q, q_weights, eps), norm(K, k_weights, eps)\n"
            "    if not K.requires_grad:\n"
            "        K.copy_(k)"
        ),
    ),
)
