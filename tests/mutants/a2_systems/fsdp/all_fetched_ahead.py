"""The first layer asks for all matrices: the whole model is there at once."""

REJECTED_BY = "test_the_next_matrix_is_under_way_and_not_the_one_after"
BASE = "fsdp_saved_tensors"
CHANGES = (
    (
        "                self.order[turn + 1].ask()",
        "                for following in self.order[turn + 1 :]:\n                    following.ask()",
    ),
)
