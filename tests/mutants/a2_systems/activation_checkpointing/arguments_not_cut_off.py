"""Walks on into the graph of the arguments, which is then walked twice."""

REJECTED_BY = "test_outputs_and_gradients_are_the_same_to_the_bit"
BASE = "checkpointing_function"
CHANGES = (("t.detach().requires_grad_(need)", "t"),)
