"""Train a language model on several ranks; killed or pre-empted, the same command goes on, with as many or others.

Start the ranks with a launcher: python -m shared.runs.launch --launch torchrun --ranks 2 a2_systems.run.train_parallel
--strategy fsdp. Alone it trains on one.
"""

import dataclasses
import sys
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from a2_systems.configs import TRAIN_PARALLEL, ParallelJob
from a2_systems.parallel.training import adamw, fresh_model, held_by_all, run_spread
from shared.device import pick_device
from shared.doors.resolve import door, source_roots
from shared.doors.settings import check_ranges, check_shape
from shared.runs.program import run_program
from shared.runs.publish import TrainingKeys, publish, published
from shared.runs.ranks import Ranks, joined
from shared.runs.runlog import read_log
from shared.runs.steps import recorded
from shared.store.artifacts import Store
from shared.store.disk import readable_bytes
from shared.store.kinds import read_shards, read_tokenizer

INPUTS = {"shards": "Shards"}
OUTPUTS = {"checkpoint": "Checkpoint", "log": "RunLog"}


def main(config: ParallelJob) -> None:
    """Publish the Checkpoint and RunLog `config.name`."""
    with joined(pick_device(config.device).type) as ranks:
        train(config, ranks)


def train(job: ParallelJob, ranks: Ranks) -> None:
    """The run, on every rank; rank 0 publishes what comes of it."""
    check_ranges(job)
    check_shape(job.model)
    store = Store(job.store)
    source = store.open(job.shards, "Shards")
    tokenizer = store.open(source.parents["tokenizer"], "Tokenizer")
    job = dataclasses.replace(job, shards=source.digest)
    roots = [*source_roots("a1_basics", job.impl), *source_roots("a2_systems", job.impl)]
    keys = TrainingKeys.of("a2_systems.train", job, {"shards": source.digest}, roots)
    if ranks.largest(int(ranks.is_lead and published(store, keys, job.name) is not None)):
        return
    parts, systems = door("a1_basics", job.impl), door("a2_systems", job.impl)
    model = fresh_model(job, parts)
    spread = systems.parallelize(model, adamw(job, parts, model), job.spread)
    token_bytes = read_tokenizer(tokenizer).token_bytes()
    shards = read_shards(source)
    run_dir = job.runs / f"{job.name}-{keys.checkpoint[:12]}"
    result = run_spread(job, parts, spread, ranks, shards, token_bytes, run_dir, config=recorded(job))
    weights, held = spread.weights(), held_by_all(spread, ranks)
    if not ranks.is_lead:
        return
    parents = {"shards": source.digest, "tokenizer": tokenizer.digest}
    checkpoint = publish(store, keys, job, parents, weights, result)
    print(f"{job.name}: Checkpoint {checkpoint.digest[:12]}")
    print_costs(job, held.tolist(), read_log(result.log))


def print_costs(job: ParallelJob, held: list[list[int]], log: list[dict[str, Any]]) -> None:
    """Speed, waiting, and what each rank keeps."""
    rates = [record["tokens_per_second"] for record in log if "tokens_per_second" in record]
    waits = [
        record["exposed_seconds"] / record["step_seconds"]
        for record in log
        if record.get("exposed_seconds") is not None and record.get("step_seconds")
    ]
    if rates:
        print(f"{job.strategy} on {len(held)} ranks: {median(rates):,.0f} tokens/s", end="")
        print(f", {median(waits):.0%} of a step spent waiting for gradients" if waits else "")
    table = Table("rank", "parameters", "gradients", "optimizer state", "together", box=None)
    for rank, kinds in enumerate(held):
        table.add_row(str(rank), *[readable_bytes(size) for size in (*kinds, sum(kinds))])
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_program(main, TRAIN_PARALLEL, inputs=INPUTS, outputs=OUTPUTS))
