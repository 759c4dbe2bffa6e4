"""Sums the weights in place of the gradients."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "dist.all_reduce(p.grad)",
        "dist.all_reduce(p.data)",
    ),
)
