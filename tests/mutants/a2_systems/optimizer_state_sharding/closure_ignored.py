"""The closure is never called: the step uses gradients that were not computed."""

REJECTED_BY = "test_a_closure_runs_once_and_its_loss_comes_back"
BASE = "sharded_contiguous_runs"
CHANGES = (("                loss = closure()", "                pass"),)
