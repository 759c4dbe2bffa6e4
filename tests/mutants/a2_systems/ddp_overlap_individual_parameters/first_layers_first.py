"""Sends in the order of parameters(): the last layers' gradients wait for the first ones'."""

REJECTED_BY = "test_the_last_layers_leave_first"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "if p.requires_grad][::-1]:",
        "if p.requires_grad]:",
    ),
)
