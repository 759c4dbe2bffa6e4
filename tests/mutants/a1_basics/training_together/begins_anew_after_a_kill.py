"""Removes what an earlier attempt has left and starts again."""

import shutil

from a1_basics import adapters

REJECTED_BY = "test_a_killed_run_goes_on_where_it_was"


def train(job):
    shutil.rmtree(job.runs, ignore_errors=True)
    return adapters.train(job)
