"""Lets go of the whole matrix, which the graph keeps for the backward pass."""

REJECTED_BY = "test_whole_matrices_are_given_back"
BASE = "fsdp_saved_tensors"
CHANGES = (("if tensor.untyped_storage()._cdata != storage:", "if True:"),)
