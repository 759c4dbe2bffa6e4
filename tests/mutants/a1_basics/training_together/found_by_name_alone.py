"""Finds its run folder by the job's name: another job of that name goes on from these weights."""

REJECTED_BY = "test_another_job_does_not_go_on_from_this_one"
BASE = "training_plain_script"
CHANGES = (('f"{job.name}-{identity}"', "job.name"),)
