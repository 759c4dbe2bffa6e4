"""In the forward pass a matrix is asked for when it is needed."""

REJECTED_BY = "test_the_next_matrix_is_under_way_and_not_the_one_after"
BASE = "fsdp_saved_tensors"
CHANGES = (("                self.order[turn + 1].ask()", "                pass"),)
