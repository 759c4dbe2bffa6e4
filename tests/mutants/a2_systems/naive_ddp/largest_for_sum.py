"""Takes the largest gradient of any rank."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "dist.all_reduce(p.grad)",
        "dist.all_reduce(p.grad, dist.ReduceOp.MAX)",
    ),
)
