"""A matrix that two layers share is sharded for each."""

REJECTED_BY = "test_two_layers_may_share_a_matrix"
BASE = "fsdp_saved_tensors"
CHANGES = (
    (
        "            if weight not in self.owner:\n"
        "                self.owner[weight] = Matrix(weight, compute_dtype)",
        "            self.owner[weight] = Matrix(weight, compute_dtype)",
    ),
)
