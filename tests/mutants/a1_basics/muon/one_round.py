"""One round: small singular values stay small."""

REJECTED_BY = "test_all_singular_values_come_near_one"
BASE = "rungs_plain"
CHANGES = (("for _ in range(5):", "for _ in range(1):"),)
