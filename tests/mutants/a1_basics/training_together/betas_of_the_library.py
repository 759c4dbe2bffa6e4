"""Makes the optimizer with its default betas."""

from dataclasses import replace

from a1_basics import adapters

REJECTED_BY = "test_every_setting_counts"


def train(job):
    return adapters.train(replace(job, beta1=0.9, beta2=0.999))
