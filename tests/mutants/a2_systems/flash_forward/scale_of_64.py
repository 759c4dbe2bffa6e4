"""The scale of the public test's width, 64."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_scale_follows_the_width"
CHANGES = (("scale = 1 / math.sqrt(Q.shape[-1])", "scale = 1 / 8"),)
