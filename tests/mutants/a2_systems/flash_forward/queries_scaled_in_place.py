"""Scales the caller's queries in place."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_arguments_are_left_alone_and_twice_is_the_same"
CHANGES = (
    (
        "    q_len, k_len = Q.shape[-2], K.shape[-2]\n    out",
        "    Q.data.mul_(scale)\n    scale, q_len, k_len = 1.0, Q.shape[-2], K.shape[-2]\n    out",
    ),
)
