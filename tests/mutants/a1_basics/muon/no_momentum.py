"""Each gradient by itself."""

REJECTED_BY = "test_momentum_looks_ahead"
BASE = "rungs_plain"
CHANGES = (("ahead = beta * momentum + (1 - beta) * gradients", "ahead = gradients"),)
