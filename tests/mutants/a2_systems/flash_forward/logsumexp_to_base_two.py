"""The kernel keeps a logarithm to base 2."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_result_and_logsumexp"
CHANGES = (("largest + tl.log(total)", "largest + tl.log2(total)"),)
