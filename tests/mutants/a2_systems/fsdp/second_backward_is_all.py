"""A second backward pass before the step replaces what the first one found."""

REJECTED_BY = "test_gradients_add_up_over_two_backward_passes"
BASE = "fsdp_saved_tensors"
CHANGES = (("mean if self.shard.grad is None else self.shard.grad + mean", "mean"),)
