"""Rows that the number of ranks does not divide belong to nobody."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "fsdp_saved_tensors"
CHANGES = (
    ("self.each = -(-self.rows // self.ranks)", "self.each = self.rows // self.ranks"),
    ("whole[: len(part)] = part", "whole[: len(part)] = part[:rows]"),
)
