"""A rank without a gradient leaves the all-reduce out."""

REJECTED_BY = "test_parameters_that_a_batch_does_not_use"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "                p.grad = torch.zeros_like(p)",
        "                continue",
    ),
)
