"""Experiment: the same tokens in small batches and many steps, or in large ones and few.

Each size is tried at one rate for all and at a rate that grows with the root of the size, since a batch four times as
large halves the noise of the gradient. On a GPU the largest sizes are meant to exceed its memory: that is a result.

Source: [malladi-2022] section 1 for the root, under Adam.
"""

import math
import sys
from collections.abc import Mapping
from typing import Any

from a1_basics.studies import BATCH_SIZE, BatchSize
from a1_basics.training.sweep import Member, job_of, run_sweep, sweep_plan
from shared.runs.program import run_program

INPUTS = {"shards": "Shards"}
OUTPUTS = {"table": "Runs"}


def members(config: BatchSize) -> list[Member]:
    """Two runs for each size: one rate for all, and the rate of `config.batch_size` scaled by the root of the ratio."""
    found = []
    for rule in ("one rate", "root rate"):
        for size in config.batch_sizes:
            ratio = size / config.batch_size
            rate = config.max_learning_rate * (math.sqrt(ratio) if rule == "root rate" else 1.0)
            if rule == "root rate" and size == config.batch_size:
                continue  # the same run
            steps = max(round(config.steps / ratio), 1)
            job = job_of(
                config,
                batch_size=size,
                steps=steps,
                max_learning_rate=rate,
                min_learning_rate=rate / 10,
                warmup_steps=round(config.warmup_steps * steps / config.steps),
                evaluate_every_steps=max(steps // 8, 1),
                evaluate_batches=max(round(config.evaluate_batches / ratio), 1),  # the same text
                checkpoint_every_steps=max(steps // 4, 1),
            )
            facts = {"batch_size": size, "batch_tokens": size * config.model.context_length, "rule": rule}
            found.append(Member(f"batch {size}, {rule}", job, facts | {"max_learning_rate": rate}))
    return found


def main(config: BatchSize) -> None:
    """Publish the Runs `config.name`."""
    run_sweep("batch_size", config, members(config))


def plan(config: BatchSize) -> Mapping[str, Any]:
    """What it will cost."""
    return sweep_plan("batch_size", BATCH_SIZE, members, config)


if __name__ == "__main__":
    sys.exit(run_program(main, BATCH_SIZE, inputs=INPUTS, outputs=OUTPUTS))
