"""The mean over the ranks, as for gradients of a batch."""

REJECTED_BY = "test_a_row_part_gives_the_whole_output"
BASE = "tensor_parallel_functions"
CHANGES = (("    return tensor\n", "    return tensor / dist.get_world_size()\n"),)
