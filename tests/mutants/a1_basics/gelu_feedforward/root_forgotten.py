"""2/pi without its root."""

REJECTED_BY = "test_by_hand"
BASE = "rungs_plain"
CHANGES = (("math.sqrt(2 / math.pi) * cubed", "2 / math.pi * cubed"),)
