"""Recomputes with whatever numbers come next."""

REJECTED_BY = "test_the_same_numbers_are_drawn_again"
BASE = "checkpointing_function"
CHANGES = (("        torch.set_rng_state(ctx.state)\n", ""),)
