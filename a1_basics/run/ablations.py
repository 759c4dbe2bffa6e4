"""Experiment: the model against itself with one part taken out: norms, their place, positions, the gate of SwiGLU."""

import sys
from collections.abc import Mapping
from typing import Any

from a1_basics.model.variants import no_norm, no_positions, post_norm, silu_feed_forward
from a1_basics.studies import ABLATIONS, Ablations
from a1_basics.training.sweep import Member, job_of, run_sweep, sweep_plan
from shared.runs.program import run_program

INPUTS = {"shards": "Shards"}
OUTPUTS = {"table": "Runs"}


def members(config: Ablations) -> list[Member]:
    """The model, its variants at the same rate, and without norms at a lower rate, in case that is all it needs."""
    job = job_of(config)
    lower = job_of(
        config,
        max_learning_rate=config.max_learning_rate / 4,
        min_learning_rate=config.max_learning_rate / 40,
    )
    return [
        Member("the model", job),
        Member("post-norm", job, build=post_norm.build),
        Member("no norm", job, build=no_norm.build),
        Member("no norm, rate / 4", lower, build=no_norm.build),
        Member("no positions", job, build=no_positions.build),
        Member("SiLU for SwiGLU", job, build=silu_feed_forward.build),
    ]


def main(config: Ablations) -> None:
    """Publish the Runs `config.name`."""
    run_sweep("ablations", config, members(config))


def plan(config: Ablations) -> Mapping[str, Any]:
    """What it will cost."""
    return sweep_plan("ablations", ABLATIONS, members, config)


if __name__ == "__main__":
    sys.exit(run_program(main, ABLATIONS, inputs=INPUTS, outputs=OUTPUTS))
