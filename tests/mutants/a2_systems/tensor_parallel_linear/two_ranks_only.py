"""Right for two ranks."""

REJECTED_BY = "test_a_column_part_is_a_part_of_the_output"
BASE = "tensor_parallel_functions"
CHANGES = (
    ("        return total(gradient)\n", "        return total(gradient) * 2 / dist.get_world_size()\n"),
)
