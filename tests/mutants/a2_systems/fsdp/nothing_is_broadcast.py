"""Every rank begins with rows of its own model."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "fsdp_saved_tensors"
CHANGES = (("            dist.broadcast(tensor.data, src=0)", "            pass"),)
