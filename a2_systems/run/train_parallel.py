"""Train a language model on several ranks; killed or pre-empted, the same command goes on, with as many or others.

Start the ranks with a launcher: python -m shared.runs.launch --launch torchrun --ranks 2 a2_systems.run.train_parallel
--strategy fsdp. Alone it trains on one.
"""

import sys
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from a2_systems.configs import TRAIN_PARALLEL
from shared import accounting, costs
from shared.device import pick_device
from shared.doors.resolve import door
from shared.doors.settings import check_ranges, check_shape
from shared.doors.systems import ParallelJob, ParallelTraining
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
        print_costs(config, trained, read_log(trained.log))


def plan(config: ParallelJob) -> dict[str, Any]:
    """What the job will cost, before it is begun, and what each of 1 to 8 GPUs would hold and how long it would take.

    Activations are those in bfloat16 of a microbatch, the logits and their gradients beside them; time is that of one
    H100-class card, divided: what is sent within a node hides behind the arithmetic or is short against it.

    Raises:
        ConfigError: settings that no training could use, whatever the shards.
    """
    check_ranges(config)
    check_shape(config.model)
    count = accounting.parameters(config.model).total
    facts: dict[str, Any] = {
        "parameters": count,
        "train_tokens": config.train_tokens,
        "train_flops": accounting.training_flops(config),
        "checkpoint_bytes": 3 * accounting.BYTES_PER_FLOAT32 * count,
    }
    work, (card,) = accounting.training_work(config), [each for each in costs.MACHINES if each.name == "h100"]
    for ranks in (1, 2, 4, 8):
        if config.batch_size % (ranks * config.microbatches):
            continue
        cards = "h100" if ranks == 1 else f"{ranks}_h100s"
        if config.strategy not in ("tensor", "pipeline"):  # these divide activations otherwise: see run.plan
            piece = config.batch_size // (ranks * config.microbatches)
            held = accounting.shared_training_bytes(config.model, config.strategy, ranks)
            held += accounting.autocast_step_bytes(config.model, piece, config.model.context_length)
            key = "h100_memory_bytes" if ranks == 1 else f"each_of_{cards}_memory_bytes"
            amount, most = (readable_bytes(round(each)) for each in (held, card.memory_bytes))
            is_enough = held <= card.memory_bytes
            facts[key] = held if is_enough else f"{amount}, of {most} there are: give more --microbatches"
        facts[f"{cards}_expected_seconds"] = work.seconds(card) / ranks
    return facts


def print_costs(job: ParallelJob, trained: ParallelTraining, log: list[dict[str, Any]]) -> None:
    """Speed, waiting, what each rank keeps between steps, and the most that it held within one."""
    held = trained.held_bytes
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
    table = Table(
        "rank", "parameters", "gradients", "optimizer state", "together", "peak of a step", box=None
    )
    for rank, (kinds, peak) in enumerate(zip(held, trained.peak_bytes, strict=True)):
        sizes = [readable_bytes(size) for size in (*kinds, sum(kinds))]
        table.add_row(str(rank), *sizes, readable_bytes(peak) if peak else "not measured")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_program(main, TRAIN_PARALLEL, inputs=INPUTS, outputs=OUTPUTS))
