"""The gradient of a sum is summed once more."""

REJECTED_BY = "test_a_row_part_gives_the_whole_output"
BASE = "tensor_parallel_functions"
CHANGES = (("        return gradient\n", "        return total(gradient)\n"),)
