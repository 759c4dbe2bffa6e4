"""Buffers are each rank's own."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "fsdp_saved_tensors"
CHANGES = (("(*module.parameters(), *module.buffers())", "module.parameters()"),)
