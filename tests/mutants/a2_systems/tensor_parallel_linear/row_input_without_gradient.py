"""Nothing flows back into the part of the input."""

REJECTED_BY = "test_a_row_part_gives_the_whole_output"
BASE = "tensor_parallel_functions"
CHANGES = (("in_features_part @ weight_part.T", "in_features_part.detach() @ weight_part.T"),)
