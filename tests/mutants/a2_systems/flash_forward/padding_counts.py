"""The kernel's last tile of keys is padded with zeros, which are scores of 0."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_any_lengths"
CHANGES = (('scores = tl.where(is_key[None, :], scores, -float("inf"))', "scores += 0.0"),)
