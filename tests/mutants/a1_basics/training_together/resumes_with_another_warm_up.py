"""Forgets how many steps were made: the rate warms up once more."""

from a1_basics import adapters
from a1_basics.training import step

REJECTED_BY = "test_a_killed_run_goes_on_where_it_was"


def load(self, directory):
    restore(self, directory)
    self.steps_done = 0


restore = step.TrainState.load
step.TrainState.load = load
train = adapters.train
