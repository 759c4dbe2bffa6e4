"""Starts each part with a gradient of ones, as if the loss stood right behind it."""

REJECTED_BY = "test_incoming_gradients_count"
BASE = "checkpointing_function"
CHANGES = (("[g for _, g in pairs]", "[torch.ones_like(g) for _, g in pairs]"),)
