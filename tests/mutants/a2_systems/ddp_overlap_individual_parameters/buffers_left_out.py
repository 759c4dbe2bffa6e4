"""Buffers are not broadcast."""

REJECTED_BY = "test_every_rank_begins_as_rank_zero"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "for tensor in (*module.parameters(), *module.buffers()):",
        "for tensor in module.parameters():",
    ),
)
