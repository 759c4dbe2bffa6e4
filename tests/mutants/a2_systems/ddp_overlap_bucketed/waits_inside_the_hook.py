"""Waits for each message where it is sent: nothing overlaps."""

REJECTED_BY = "test_backward_goes_on_while_buckets_travel"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "        self.messages.append((message, dist.all_reduce(message, async_op=True)))",
        "        handle = dist.all_reduce(message, async_op=True)\n"
        "        handle.wait()\n"
        "        self.messages.append((message, handle))",
    ),
)
