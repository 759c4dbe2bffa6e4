"""Normalises queries alone."""

REJECTED_BY = "test_the_size_of_queries_and_keys_falls_out"
BASE = "rungs_plain"
CHANGES = (
    (
        "q, k = norm(Q, q_weights, eps), norm(K, k_weights, eps)",
        "q, k = norm(Q, q_weights, eps), K * k_weights",
    ),
)
