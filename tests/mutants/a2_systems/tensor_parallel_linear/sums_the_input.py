"""The input, which all ranks have, is added up."""

REJECTED_BY = "test_a_column_part_is_a_part_of_the_output"
BASE = "tensor_parallel_functions"
CHANGES = (("return x.view_as(x)", "return total(x)"),)
