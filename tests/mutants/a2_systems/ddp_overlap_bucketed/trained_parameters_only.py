"""Frozen parameters stay what each rank drew."""

REJECTED_BY = "test_every_rank_begins_as_rank_zero"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "for tensor in (*module.parameters(), *module.buffers()):",
        "for tensor in (*[p for p in module.parameters() if p.requires_grad], *module.buffers()):",
    ),
)
