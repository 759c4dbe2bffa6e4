"""Leaves out parameters that fit into no bucket."""

REJECTED_BY = "test_a_parameter_larger_than_a_bucket"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "            if size > room or p.dtype != dtype:",
        "            if limit and size > limit:\n"
        "                continue\n"
        "            if size > room or p.dtype != dtype:",
    ),
)
