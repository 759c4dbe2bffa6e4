"""Divides by two, however many ranks there are."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "done = [message / dist.get_world_size()",
        "done = [message / 2",
    ),
)
