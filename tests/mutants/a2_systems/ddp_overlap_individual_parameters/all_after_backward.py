"""Sends nothing before backward is over."""

REJECTED_BY = "test_gradients_leave_before_backward_returns"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "            p.register_post_accumulate_grad_hook(self.ready)",
        "            pass",
    ),
)
