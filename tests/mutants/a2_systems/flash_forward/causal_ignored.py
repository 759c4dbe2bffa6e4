"""Takes the flag and looks into the future."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_later_keys_have_no_influence"
CHANGES = (
    ("            if is_causal:\n                rows", "            if False:\n                rows"),
)
