"""Show that several ranks trained what one rank trained: losses side by side, with speed and time spent waiting.

The first RunLog is the measure of the others. They may differ in strategy and number of ranks, and in nothing else.
"""

import math
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from a2_systems.configs import COMPARE_TRAINING, CompareTraining
from shared.errors import ConfigError, ContractError
from shared.runs.program import run_program
from shared.runs.runlog import VALIDATION_LOSS
from shared.runs.steps import already_made, step_key
from shared.store.artifacts import Store
from shared.store.kinds import read_run_log, write_runs

INPUTS = {"logs": "RunLog"}
OUTPUTS = {"runs": "Runs"}
SPREADS = ("strategy", "bucket_size_mb", "compute_dtype", "schedule", "microbatches")


def main(config: CompareTraining) -> None:
    """Publish the Runs `config.name`.

    Raises:
        ConfigError: fewer than two logs, or runs that differ in more than how they were spread.
        ContractError: a loss further from the first run's than the order of a sum can explain.
    """
    if len(config.logs) < 2:
        raise ConfigError(
            f"{len(config.logs)} log: wanted the one-rank run and at least one other, as --logs A B"
        )
    store = Store(config.store)
    logs = [store.open(name, "RunLog") for name in config.logs]
    parents = {f"log{number}": log.digest for number, log in enumerate(logs)}
    key = step_key("a2_systems.run.compare_training", config, parents, ("a2_systems",))
    if already_made(store, key, config.name) is not None:
        return
    read = [read_run_log(log) for log in logs]
    settings = [{k: v for k, v in given.items() if k not in SPREADS} for given, _ in read]
    for name, other in zip(config.logs[1:], settings[1:], strict=True):
        changed = sorted(key for key in settings[0] if settings[0][key] != other.get(key))
        if changed:
            told = ", ".join(
                f"{key} is {settings[0][key]!r} there, {other.get(key)!r} here" for key in changed
            )
            raise ConfigError(
                f"{name} is another training than {config.logs[0]}: {told}; train one of them again with the other's "
                "settings"
            )
    rows, curves = [], {}
    for name, (given, records) in zip(config.logs, read, strict=True):
        apart, compared = largest_difference(read[0][1], records)
        rows.append(
            {
                "run": name,
                "strategy": given["strategy"],
                "losses_compared": compared,
                "largest_difference_nats": apart,
                "validation_loss_nats": last(records, VALIDATION_LOSS),
            }
        )
        curves[name] = records
    wrong = [row["run"] for row in rows if not row["largest_difference_nats"] <= config.tolerance_nats]
    with store.draft(
        "Runs",
        config={"experiment": "compare_training", "tolerance_nats": config.tolerance_nats},
        parents=parents,
        name=config.name,
        key=None if wrong else key,  # what is wrong is said each time
    ) as draft:
        write_runs(draft, rows, curves)
    Console().print(table(rows, curves))
    if wrong:
        raise ContractError(
            f"{', '.join(wrong)}: losses are more than {config.tolerance_nats} nats from those of {config.logs[0]}; "
            "the order of sums explains no more, so a gradient is wrong or text was read twice"
        )
    print(f"all losses within {config.tolerance_nats} nats of {config.logs[0]}: the same training")


def largest_difference(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> tuple[float, int]:
    """How far two runs' losses lie apart at most, over the steps that both logged, and how many those are.

    Raises:
        ContractError: they have no step in common.
    """
    keys = ("loss_nats", VALIDATION_LOSS)
    found = {(record["step"], key): record[key] for record in one for key in keys if key in record}
    apart = [
        abs(record[key] - found[record["step"], key])
        for record in other
        for key in keys
        if key in record and (record["step"], key) in found
    ]
    if not apart:
        raise ContractError("two logs without a step in common cannot be compared")
    return max(math.inf if math.isnan(each) else each for each in apart), len(apart)


def last(records: list[dict[str, Any]], key: str) -> float:
    """The last value of a metric."""
    return next((record[key] for record in reversed(records) if key in record), math.nan)


def table(rows: list[dict[str, Any]], curves: dict[str, list[dict[str, Any]]]) -> Table:
    """What people look at."""
    found = Table("run", "strategy", "held-out nats", "apart at most", "tokens/s", "waiting", box=None)
    for row in rows:
        records = curves[row["run"]]
        rates = [record["tokens_per_second"] for record in records if "tokens_per_second" in record]
        waits = [
            r["exposed_seconds"] / r["step_seconds"]
            for r in records
            if "exposed_seconds" in r and "step_seconds" in r
        ]
        found.add_row(
            row["run"],
            row["strategy"],
            f"{row['validation_loss_nats']:.4f}",
            f"{row['largest_difference_nats']:.1e} nats",
            f"{sorted(rates)[len(rates) // 2]:,.0f}" if rates else "",
            f"{sorted(waits)[len(waits) // 2]:.0%}" if waits else "",
        )
    return found


if __name__ == "__main__":
    sys.exit(run_program(main, COMPARE_TRAINING, inputs=INPUTS, outputs=OUTPUTS))
