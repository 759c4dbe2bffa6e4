"""Gradients that are added after the first message are not sent."""

REJECTED_BY = "test_gradients_that_add_up"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "            self.drain()\n        return self.module",
        "            pass\n        return self.module",
    ),
)
