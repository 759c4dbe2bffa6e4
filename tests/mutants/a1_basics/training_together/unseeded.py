"""Draws weights and batches from wherever the global generator stands."""

from dataclasses import replace

import torch

from a1_basics import adapters

REJECTED_BY = "test_a_job_decides_its_outcome"


def train(job):
    return adapters.train(replace(job, seed=int(torch.randint(1 << 30, ()))))
