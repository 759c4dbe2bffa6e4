"""Write the table of what the experiments cost, on three kinds of machine and at your prices, into the handout."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a1_basics import studies
from a1_basics.run import ablations, batch_size, divergence, learning_rate, scaling_audit
from a1_basics.training.sweep import Member, work_of
from shared import costs
from shared.marked import replace_block
from shared.report.parts import short_count
from shared.runs.config import preset
from shared.runs.program import run_program
from shared.store.disk import readable_bytes

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # a table in a document, no artifact

BEGIN, END = "<!-- costs: begin -->", "<!-- costs: end -->"
SIZES = ("toy", "one_gpu")
EXPERIMENTS: Mapping[str, tuple[Mapping[str, Any], Callable[[Any], Sequence[Member]]]] = {
    "learning_rate": (studies.LEARNING_RATE, learning_rate.members),
    "batch_size": (studies.BATCH_SIZE, batch_size.members),
    "ablations": (studies.ABLATIONS, ablations.members),
    "divergence": (studies.DIVERGENCE, divergence.members),
    "scaling_audit": (studies.SCALING_AUDIT, scaling_audit.members),
}


@dataclass(frozen=True)
class CostTable:
    """Where the table goes, and what an hour costs."""

    document: Path = Path("a1_basics/HANDOUT.md")
    prices: costs.Prices = costs.US_PRICES  # dollars per hour of each kind of machine


PRESETS = {"default": CostTable()}


def main(config: CostTable) -> None:
    """Replace the table between the document's marks."""
    replace_block(config.document, BEGIN, END, cost_table(config.prices))
    print(f"{config.document}: the table is that of the presets")


def cost_table(prices: costs.Prices) -> str:
    """A row for each experiment at each size."""
    heads = [
        "experiment",
        "preset",
        "runs",
        "tokens",
        "memory",
        *(machine.label for machine in costs.MACHINES),
    ]
    rows = [
        f"| {' | '.join(heads)} |",
        f"| --- | --- | ---: | ---: | ---: |{' ---: |' * len(costs.MACHINES)}",
    ]
    for size in SIZES:
        for name, (presets, members_of) in EXPERIMENTS.items():
            members = members_of(dataclasses.replace(preset(presets, size), prices=prices))
            work = work_of(members)
            tokens = sum(member.job.train_tokens for member in members)
            largest = max(piece.memory_bytes for piece in work)
            cells = [
                f"`{name}`",
                f"`{size}`",
                str(len(members)),
                short_count(tokens),
                readable_bytes(round(largest)),
            ]
            cells += [str(costs.estimate(work, machine, prices)) for machine in costs.MACHINES]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
