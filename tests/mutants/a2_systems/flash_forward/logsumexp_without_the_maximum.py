"""Keeps log of the sum of shifted exponentials, the shift forgotten."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_result_and_logsumexp"
CHANGES = (("= largest + total.log()", "= total.log()"),)
