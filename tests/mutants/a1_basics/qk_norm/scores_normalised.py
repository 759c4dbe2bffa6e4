"""Normalises the scores of each query in place of its vectors."""

REJECTED_BY = "test_by_hand"
BASE = "rungs_plain"
CHANGES = (
    ("q, k = norm(Q, q_weights, eps), norm(K, k_weights, eps)", "q, k = Q * q_weights, K * k_weights"),
    (
        "return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])",
        (
            "scores = q @ k.transpose(-2, -1)\n"
            "    return scores / (scores.square().mean(-1, keepdim=True) + eps).sqrt()"
        ),
    ),
)
