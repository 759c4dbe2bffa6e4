"""Starts at the highest rate."""

from dataclasses import replace

from a1_basics import adapters

REJECTED_BY = "test_rate_follows_the_schedule"


def train(job):
    return adapters.train(replace(job, warmup_steps=0))
