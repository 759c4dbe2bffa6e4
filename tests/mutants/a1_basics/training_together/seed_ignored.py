"""Uses seed 0 for every job."""

from dataclasses import replace

from a1_basics import adapters

REJECTED_BY = "test_every_setting_counts"


def train(job):
    return adapters.train(replace(job, seed=0))
