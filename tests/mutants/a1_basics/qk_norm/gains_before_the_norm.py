"""Gains go in before the norm, which takes them out again."""

REJECTED_BY = "test_gains_come_after_the_norm"
BASE = "rungs_plain"
CHANGES = (
    (
        "q, k = norm(Q, q_weights, eps), norm(K, k_weights, eps)",
        (
            "ones = torch.ones_like(q_weights)\n"
            "    q, k = norm(Q * q_weights, ones, eps), norm(K * k_weights, ones, eps)"
        ),
    ),
)
