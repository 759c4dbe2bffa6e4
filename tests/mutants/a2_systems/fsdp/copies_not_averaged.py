"""Biases and norms move by each rank's own gradient."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "fsdp_saved_tensors"
CHANGES = (
    (
        "                dist.all_reduce(p.grad)\n                p.grad /= dist.get_world_size()",
        "                pass",
    ),
)
