"""The input's gradient is what this rank's outputs say alone."""

REJECTED_BY = "test_a_column_part_is_a_part_of_the_output"
BASE = "tensor_parallel_functions"
CHANGES = (("Spread.apply(in_features) @", "in_features @"),)
