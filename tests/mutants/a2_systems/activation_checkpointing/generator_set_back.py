"""Leaves the generator where the first run began."""

REJECTED_BY = "test_random_numbers_go_on_as_if_nothing_was_computed_again"
BASE = "checkpointing_function"
CHANGES = (("        torch.set_rng_state(now)\n", ""),)
