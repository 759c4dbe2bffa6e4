"""Leaves the sum: a learning rate that grows with the number of ranks."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "            p.grad /= dist.get_world_size()\n",
        "",
    ),
)
