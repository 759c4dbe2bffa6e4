"""Queries and keys share the gains of queries."""

REJECTED_BY = "test_gains_belong_to_their_side"
BASE = "rungs_plain"
CHANGES = (
    (
        "q, k = norm(Q, q_weights, eps), norm(K, k_weights, eps)",
        "q, k = norm(Q, q_weights, eps), norm(K, q_weights, eps)",
    ),
)
