"""Recomputes without autocast."""

REJECTED_BY = "test_the_precision_is_that_of_the_first_run"
BASE = "checkpointing_function"
CHANGES = (('            torch.autocast("cpu", enabled=ctx.cast[0], dtype=ctx.cast[1]),\n', ""),)
