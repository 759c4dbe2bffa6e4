"""Waits for each reduce-scatter where it is sent."""

REJECTED_BY = "test_backward_goes_on_while_a_gradient_travels"
BASE = "fsdp_saved_tensors"
CHANGES = (
    (
        "        self.leaving.append((mean, sent, work))",
        "        work.wait()\n        self.leaving.append((mean, sent, work))",
    ),
)
