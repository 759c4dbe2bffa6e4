"""Waits for each matrix when it is asked for: nothing is hidden."""

REJECTED_BY = "test_a_layer_computes_while_the_next_matrix_travels"
BASE = "fsdp_saved_tensors"
CHANGES = (
    (
        "            self.arriving = whole, mine, work",
        "            work.wait()\n            self.arriving = whole, mine, work",
    ),
)
