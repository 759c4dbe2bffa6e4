"""The closure's loss is lost."""

REJECTED_BY = "test_a_closure_runs_once_and_its_loss_comes_back"
BASE = "sharded_contiguous_runs"
CHANGES = (("        return loss", "        return None"),)
