"""A round too few: small singular values stay behind."""

REJECTED_BY = "test_each_singular_value_goes_through_the_quintic"
BASE = "rungs_plain"
CHANGES = (("for _ in range(5):", "for _ in range(4):"),)
