"""Full parameters that are not sharded are the parameters themselves."""

REJECTED_BY = "test_full_parameters_go_on_with_another_number_of_ranks"
BASE = "fsdp_saved_tensors"
CHANGES = (("else p.detach().clone()", "else p.detach()"),)
