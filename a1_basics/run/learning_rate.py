"""Experiment: one model trained at learning rates on a logarithmic grid, from too low to divergent."""

import sys
from collections.abc import Mapping
from typing import Any

from a1_basics.studies import LEARNING_RATE, LearningRate
from a1_basics.training.sweep import Member, job_of, run_sweep, sweep_plan
from shared.runs.program import run_program

INPUTS = {"shards": "Shards"}
OUTPUTS = {"table": "Runs"}


def members(config: LearningRate) -> list[Member]:
    """A run for each rate; the lowest rate of the schedule stays a tenth of the highest."""
    return [
        Member(
            f"rate {rate:g}",
            job_of(config, max_learning_rate=rate, min_learning_rate=rate / 10),
            {"max_learning_rate": rate},
        )
        for rate in config.rates
    ]


def main(config: LearningRate) -> None:
    """Publish the Runs `config.name`."""
    run_sweep("learning_rate", config, members(config))


def plan(config: LearningRate) -> Mapping[str, Any]:
    """What it will cost."""
    return sweep_plan("learning_rate", LEARNING_RATE, members, config)


if __name__ == "__main__":
    sys.exit(run_program(main, LEARNING_RATE, inputs=INPUTS, outputs=OUTPUTS))
