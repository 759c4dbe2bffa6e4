"""Every rank steps along its own gradient."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "def naive_ddp_on_after_backward(ddp_model, optimizer):\n    ddp_model.average()",
        "def naive_ddp_on_after_backward(ddp_model, optimizer):\n    pass",
    ),
)
