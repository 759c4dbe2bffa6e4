"""Divides by two, whatever the number of ranks."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "fsdp_saved_tensors"
CHANGES = ((".clone() / self.ranks", ".clone() / 2"),)
