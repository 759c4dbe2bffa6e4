"""The mask one diagonal too wide."""

REJECTED_BY = "test_the_future_is_hidden"
BASE = "rungs_plain"
CHANGES = ((".triu(1)", ".triu(2)"),)
