"""The torch class is causal, the kernel is not."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_later_keys_have_no_influence"
CHANGES = (("IS_CAUSAL=is_causal", "IS_CAUSAL=False"),)
