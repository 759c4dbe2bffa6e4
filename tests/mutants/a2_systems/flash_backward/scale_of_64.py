"""The scale of the public test's width, 64, in backward only."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_scale_follows_the_width"
CHANGES = (("scale = q.shape[-1] ** -0.5", "scale = 1 / 8"),)
