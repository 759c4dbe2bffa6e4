"""The kernel is given the scale of the public test's width, 64."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_scale_follows_the_width"
CHANGES = (("1 / math.sqrt(width)", "1 / 8"),)
