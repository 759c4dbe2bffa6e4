"""Rank 0 sends everything, also what it did not update."""

REJECTED_BY = "test_ranks_come_to_the_parameters_of_one_optimizer"
BASE = "sharded_contiguous_runs"
CHANGES = (("src=self.owner[p]", "src=0"),)
