"""No rank hears of the others' updates."""

REJECTED_BY = "test_ranks_come_to_the_parameters_of_one_optimizer"
BASE = "sharded_contiguous_runs"
CHANGES = (("dist.broadcast(p.data, src=self.owner[p])", "pass"),)
