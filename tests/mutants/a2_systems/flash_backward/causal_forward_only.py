"""Forward is causal and backward is not: gradients of another function."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_gradients_equal_the_oracles"
CHANGES = (("    if is_causal:\n        q_len", "    if False:\n        q_len"),)
