"""Experiment: four ways to lose a run, each provoked and then cured, everything else equal.

Each pair changes one thing. Where the model as it stands is too robust to be hurt at this size, it is first made
fragile, in both runs of the pair: without norms gradients explode, and clipping is all that holds them; post-norm
blocks are what warm-up was invented for.

Whether a pair shows what it is meant to show is measured, not promised: each row carries a verdict.
"""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from a1_basics.model.variants import no_norm, post_norm
from a1_basics.studies import DIVERGENCE, Divergence
from a1_basics.training.half_precision import scaled_float16_step, unscaled_float16_step
from a1_basics.training.sweep import DIVERGED, FINISHED, Member, Rows, job_of, run_sweep, sweep_plan
from shared.doors.protocols import TrainJob
from shared.runs.program import run_program
from shared.store.kinds import read_runs

INPUTS = {"shards": "Shards"}
OUTPUTS = {"table": "Runs"}

NO_CLIPPING = 1e9  # a norm that no gradient of float32 weights reaches before the loss is infinite
HURT_NATS = 0.1  # held-out loss; seeds differ by some hundredths at these sizes


def members(config: Divergence) -> list[Member]:
    """Provoked and cured, pair by pair."""
    job = job_of(config)
    fast = at_rate(job, config.max_learning_rate * config.fragile_rate_ratio)
    wild = at_rate(job, config.max_learning_rate * config.wild_rate_ratio)

    def pair(problem: str, broken: Member, cure: str, mended: Member, model: str = "") -> list[Member]:
        facts = {"problem": problem, "model": model or "as it stands"}
        return [
            dataclasses.replace(broken, name=problem, facts=facts | {"is_cured": False}),
            dataclasses.replace(mended, name=f"{problem}, cured: {cure}", facts=facts | {"is_cured": True}),
        ]

    no_warmup = dataclasses.replace(fast, warmup_steps=0)
    long_warmup = dataclasses.replace(fast, warmup_steps=config.steps // 4)
    unclipped = dataclasses.replace(job, clip_norm=NO_CLIPPING)
    return [
        *pair(
            "no warm-up",
            Member("", no_warmup, build=post_norm.build),
            "warm-up",
            Member("", long_warmup, build=post_norm.build),
            "post-norm",
        ),
        *pair(
            "no clipping",
            Member("", unclipped, build=no_norm.build),
            "clipping",
            Member("", job, build=no_norm.build),
            "without norms",
        ),
        *pair("rate too high", Member("", wild), "lower rate", Member("", job)),
        *pair(
            "float16, no loss scale",
            Member("", job, make_step=unscaled_float16_step),
            "loss scale",
            Member("", job, make_step=scaled_float16_step),
        ),
    ]


def at_rate(job: TrainJob, rate: float) -> TrainJob:
    """The job at another peak rate."""
    return dataclasses.replace(job, max_learning_rate=rate, min_learning_rate=rate / 10)


def with_verdicts(rows: Rows) -> Rows:
    """The rows, each with what its pair has shown."""
    found = []
    for broken, cured in zip(rows[::2], rows[1::2], strict=True):
        shown = verdict(broken, cured)
        found += [{**broken, "verdict": shown}, {**cured, "verdict": shown}]
    return found


def verdict(broken: Mapping[str, Any], cured: Mapping[str, Any]) -> str:
    """Whether the run was lost without its cure, hurt, or neither."""
    if cured["status"] == DIVERGED:
        return "not cured"
    if broken["status"] == DIVERGED:
        return "lost" if cured["status"] == FINISHED else "cannot be told"
    if not broken["status"] == cured["status"] == FINISHED:
        return "cannot be told"
    worse_nats = broken["validation_loss_nats"] - cured["validation_loss_nats"]
    return f"hurt by {worse_nats:.2f} nats" if worse_nats >= HURT_NATS else "not provoked at this size"


def main(config: Divergence) -> None:
    """Publish the Runs `config.name`."""
    rows, _ = read_runs(run_sweep("divergence", config, members(config), with_verdicts))
    for row in rows[::2]:
        print(f"  {row['problem']}: {row['verdict']}")


def plan(config: Divergence) -> Mapping[str, Any]:
    """What it will cost."""
    return sweep_plan("divergence", DIVERGENCE, members, config)


if __name__ == "__main__":
    sys.exit(run_program(main, DIVERGENCE, inputs=INPUTS, outputs=OUTPUTS))
