"""D as the sum of squared weights."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_gradients_equal_the_oracles"
CHANGES = (("(out.float() * grad).sum(-1, keepdim=True)", "(weights * weights).sum(-1, keepdim=True)"),)
