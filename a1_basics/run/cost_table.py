"""Write the table of what the experiments cost, on three kinds of machine and at your prices, into the handout."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a1_basics import studies
from a1_basics.configs import LADDER_RUNS, MEASURED, TOKENIZER_SWEEP, TRAIN_LM
from a1_basics.run import (
    ablations,
    batch_size,
    divergence,
    ladder,
    learning_rate,
    scaling_audit,
    tokenizer_sweep,
    train_lm,
)
from a1_basics.training.sweep import Member, work_of
from shared import costs
from shared.doors.protocols import TrainJob
from shared.marked import replace_block
from shared.report.parts import short_count
from shared.runs.config import preset
from shared.runs.program import run_program
from shared.store.disk import readable_bytes

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # a table in a document, no artifact

BEGIN, END = "<!-- costs: begin -->", "<!-- costs: end -->"
SIZES = (
    "toy",
    "a1",
    "stories",
    "shakespeare_char",
    "one_gpu",
    "gpt2_124m",
)  # the presets, smaller ones first


@dataclass(frozen=True)
class Experiment:
    """A program, and how to count what a config of it does."""

    presets: Mapping[str, Any]
    work_of: Callable[[Any], Sequence[costs.Work]]
    amount_of: Callable[[Any], str]  # of text read, in tokens where models read it


def sweep(presets: Mapping[str, Any], members: Callable[[Any], Sequence[Member]]) -> Experiment:
    """An experiment whose runs are members of a sweep."""

    def tokens(config: Any) -> str:
        return short_count(sum(member.job.train_tokens for member in members(config)))

    return Experiment(presets, lambda config: work_of(members(config)), tokens)


def of_jobs(
    presets: Mapping[str, Any], work_of: Any, jobs: Callable[[Any], Sequence[TrainJob]]
) -> Experiment:
    """An experiment that is a list of training jobs."""
    return Experiment(
        presets, work_of, lambda config: short_count(sum(job.train_tokens for job in jobs(config)))
    )


EXPERIMENTS: Mapping[str, Experiment] = {
    "train_lm": of_jobs(TRAIN_LM, train_lm.work_of, lambda config: [config]),
    "learning_rate": sweep(studies.LEARNING_RATE, learning_rate.members),
    "batch_size": sweep(studies.BATCH_SIZE, batch_size.members),
    "ablations": sweep(studies.ABLATIONS, ablations.members),
    "divergence": sweep(studies.DIVERGENCE, divergence.members),
    "scaling_audit": sweep(studies.SCALING_AUDIT, scaling_audit.members),
    "ladder": of_jobs(LADDER_RUNS, ladder.work_of, ladder.jobs),
    "tokenizer_sweep": Experiment(
        TOKENIZER_SWEEP, tokenizer_sweep.work_of, lambda config: f"{config.train_megabytes:g} MB of text"
    ),
}


@dataclass(frozen=True)
class CostTable:
    """Where the table goes, and what an hour costs."""

    document: Path = Path("a1_basics/HANDOUT.md")  # it holds the two marks
    prices: costs.Prices = costs.US_PRICES  # dollars per hour of each kind of machine


PRESETS = {"default": CostTable()}


def main(config: CostTable) -> None:
    """Replace the table between the document's marks."""
    replace_block(config.document, BEGIN, END, cost_table(config.prices))
    print(f"{config.document}: the table is that of the presets")


def cost_table(prices: costs.Prices) -> str:
    """A row for each experiment at each size that it has."""
    heads = ["experiment", "preset", "runs", "reads", "memory", *(each.label for each in costs.MACHINES)]
    rows = [
        f"| {' | '.join(heads)} |",
        f"| --- | --- | ---: | ---: | ---: |{' ---: |' * len(costs.MACHINES)}",
    ]
    for size in SIZES:
        for name, experiment in EXPERIMENTS.items():
            if size in experiment.presets:
                rows.append(f"| {' | '.join(cells(name, experiment, size, prices))} |")
    return "\n".join(rows)


def cells(name: str, experiment: Experiment, size: str, prices: costs.Prices) -> list[str]:
    """One row."""
    config = preset(experiment.presets, size)
    work = experiment.work_of(config)
    largest = max(piece.memory_bytes for piece in work)
    return [
        f"`{name}`",
        f"`{size}`",
        str(len(work)),
        experiment.amount_of(config),
        readable_bytes(round(largest)),
        *costs.tiers(work, prices, MEASURED.get(name, {}).get(size)).values(),
    ]


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
