"""Decays by 0.1 whatever the job says."""

from dataclasses import replace

from a1_basics import adapters

REJECTED_BY = "test_matrices_decay"


def train(job):
    return adapters.train(replace(job, weight_decay=0.1))
