"""Causal whatever is asked: it is only ever called that way, until somebody trains an encoder."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_everything_is_seen_unless_asked"
CHANGES = (("            if is_causal:\n                rows", "            if True:\n                rows"),)
