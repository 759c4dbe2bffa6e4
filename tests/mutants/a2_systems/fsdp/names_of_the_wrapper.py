"""Full parameters have the wrapper's names."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "fsdp_saved_tensors"
CHANGES = (("for name, p in self.module.named_parameters()", "for name, p in self.named_parameters()"),)
