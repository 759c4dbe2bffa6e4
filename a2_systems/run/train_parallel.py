"""Train a language model on several ranks; killed or pre-empted, the same command goes on, with as many or others.

Start the ranks with a launcher: python -m shared.runs.launch --launch torchrun --ranks 2 a2_systems.run.train_parallel
--strategy fsdp. Alone it trains on one.
"""

import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from a2_systems.configs import TRAIN_PARALLEL
from shared.device import pick_device
from shared.doors.resolve import door
from shared.doors.systems import ParallelJob
from shared.runs.program import run_program
from shared.runs.ranks import joined
from shared.runs.runlog import read_log
from shared.store.disk import readable_bytes

INPUTS = {"shards": "Shards"}
OUTPUTS = {"checkpoint": "Checkpoint", "log": "RunLog"}


def main(config: ParallelJob) -> None:
    """Publish the Checkpoint and RunLog `config.name`."""
    with joined(pick_device(config.device).type):
        trained = door("a2_systems", config.impl).train_parallel(config)
    if trained is not None:
        print(f"{config.name}: Checkpoint {trained.checkpoint[:12]}")
        print_costs(config, trained.held_bytes, read_log(trained.log))


def print_costs(job: ParallelJob, held: Sequence[Sequence[int]], log: list[dict[str, Any]]) -> None:
    """Speed, waiting, and what each rank keeps."""
    rates = [record["tokens_per_second"] for record in log if "tokens_per_second" in record]
    waits = [
        record["exposed_seconds"] / record["step_seconds"]
        for record in log
        if record.get("exposed_seconds") is not None and record.get("step_seconds")
    ]
    if rates:
        ranks = "one rank" if len(held) == 1 else f"{len(held)} ranks"
        print(f"{job.strategy} on {ranks}: {median(rates):,.0f} tokens/s", end="")
        print(f", {median(waits):.0%} of a step spent waiting for messages" if waits else "")
    table = Table("rank", "parameters", "gradients", "optimizer state", "together", box=None)
    for rank, kinds in enumerate(held):
        table.add_row(str(rank), *[readable_bytes(size) for size in (*kinds, sum(kinds))])
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_program(main, TRAIN_PARALLEL, inputs=INPUTS, outputs=OUTPUTS))
