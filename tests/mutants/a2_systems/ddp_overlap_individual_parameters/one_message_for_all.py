"""One message, which is full when backward ends."""

REJECTED_BY = "test_gradients_leave_before_backward_returns"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "Copies(module, limit=0)",
        "Copies(module, limit=2**40)",
    ),
)
