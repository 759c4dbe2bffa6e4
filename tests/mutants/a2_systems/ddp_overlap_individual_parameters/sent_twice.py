"""Sends everything once more afterwards, to be safe."""

REJECTED_BY = "test_nothing_is_sent_twice"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "        for group, mean in zip(self.groups, self.drain(), strict=True):",
        "        self.drain()\n        for group, mean in zip(self.groups, self.drain(), strict=True):",
    ),
)
