"""Gives bfloat16 inputs a float32 result."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_half_precision_is_summed_in_float32"
CHANGES = (("V.shape[-1], dtype=Q.dtype)", "V.shape[-1])"),)
