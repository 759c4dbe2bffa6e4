"""Leaves the clipping out: one strange batch undoes the work of hundreds."""

from dataclasses import replace

from a1_basics import adapters

REJECTED_BY = "test_gradients_are_clipped_together"


def train(job):
    return adapters.train(replace(job, clip_norm=1e9))
