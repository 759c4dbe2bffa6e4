"""Each rank goes on with its own term of the output."""

REJECTED_BY = "test_a_row_part_gives_the_whole_output"
BASE = "tensor_parallel_functions"
CHANGES = (("Collect.apply(in_features_part @ weight_part.T)", "in_features_part @ weight_part.T"),)
