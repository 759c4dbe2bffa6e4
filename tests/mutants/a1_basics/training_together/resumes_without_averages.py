"""Restores the weights and not the optimizer: the first steps after a resume are as long as at the start."""

from a1_basics import adapters
from a1_basics.training import step

REJECTED_BY = "test_a_killed_run_goes_on_where_it_was"


def load(self, directory):
    fresh = self.optimizer.state_dict()
    restore(self, directory)
    self.optimizer.load_state_dict(fresh)


restore = step.TrainState.load
step.TrainState.load = load
train = adapters.train
