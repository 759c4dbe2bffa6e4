"""Compare training runs: what differs in their settings, where each one is, how well it did, and the curves.

Reads the runs under `--runs` (finished or not) and the RunLog artifacts of `--store`; writes one picture. Settings that
all runs share are left out of the table: what is shown is what could explain a difference.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import ConfigError
from shared.runs.config import flatten, read_json
from shared.runs.program import run_program
from shared.runs.runlog import VALIDATION_LOSS, read_log, series

TRAINING_LOSS = "loss_nats"
COLUMNS = ("run", "steps", "loss", "last", "best", "tokens/s", "state", "settings that differ")
_PLACES = {"name", "runs", "store"}  # where a run lies and what it is called explains nothing


@dataclass(frozen=True)
class CompareConfig:
    """Which runs to compare, and where the picture goes."""

    runs: Path = Path("runs")  # directory of unfinished and finished runs
    store: Path = Path("artifacts")  # artifact store, for the RunLog artifacts in it
    last_jobs: int = 20  # jobs of a cluster to list, each with its log
    only: tuple[str, ...] = ()  # runs whose name contains one of these; empty shows all
    picture: Path = Path("runs/compare.png")  # the curves; an SVG is put beside it


@dataclass(frozen=True)
class LoggedRun:
    """A run as its directory or artifact describes it."""

    name: str
    config: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    state: str  # published (an artifact), finished, stopped, diverged, unfinished (still running, or killed)

    @property
    def num_steps(self) -> int:
        """The last step that was logged."""
        return max((record["step"] for record in self.records), default=0)

    @property
    def tokens_per_second(self) -> float | None:
        """Over the whole log: the mean of the logged rates, weighted as time was spent."""
        rates = [record["tokens_per_second"] for record in self.records if record.get("tokens_per_second")]
        return len(rates) / sum(1 / rate for rate in rates) if rates else None

    def losses(self) -> tuple[str, list[int], list[float]]:
        """The loss to judge by: on held-out text where it was measured, else of training."""
        for key in (VALIDATION_LOSS, TRAINING_LOSS):
            steps, values = series(self.records, key)
            if values:
                return key, steps, values
        return TRAINING_LOSS, [], []


def find_runs(runs: Path, store: Path) -> list[LoggedRun]:
    """Every run that has a log, by name; an artifact is left out when its run directory is still there."""
    found = []
    for log in sorted(runs.glob("**/log.jsonl")):
        config = log.parent / "config.json"
        settings = read_json(config) if config.exists() else {}
        name = log.parent.relative_to(runs).as_posix()
        found.append(LoggedRun(name, settings, read_log(log), _state_of(log.parent)))
    seen = {_identity(run) for run in found}
    return found + [run for run in _published(store) if _identity(run) not in seen]


def _state_of(run_dir: Path) -> str:
    """How the last session ended; a session that only started is running, or was killed."""
    sessions = run_dir / "sessions.jsonl"
    last = read_log(sessions)[-1:] if sessions.exists() else []
    return last[0]["what"] if last and last[0]["what"] != "started" else "unfinished"


def _published(store: Path) -> list[LoggedRun]:
    if not (store / "RunLog").is_dir():
        return []
    from shared.store.artifacts import Store
    from shared.store.kinds.records import read_run_log

    opened, published = Store(store), []
    names = {digest: name for name, digest in opened.names("RunLog").items()}
    for artifact in opened.list("RunLog"):
        config, records = read_run_log(artifact)
        published.append(
            LoggedRun(names.get(artifact.digest, artifact.digest[:12]), config, records, "published")
        )
    return published


def _identity(run: LoggedRun) -> str:
    """A text that two runs share which had the same settings and losses."""
    facts = [(record["step"], record.get(TRAINING_LOSS)) for record in run.records]
    return repr((sorted(_settings(run).items()), facts))


def _settings(run: LoggedRun) -> dict[str, Any]:
    return {key: value for key, value in flatten(run.config).items() if key not in _PLACES}


def differing_settings(runs: Sequence[LoggedRun]) -> list[str]:
    """The dotted config keys on which the runs do not all agree, in the order in which they first appear."""
    settings = [_settings(run) for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    return [key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings)]


def table_rows(runs: Sequence[LoggedRun]) -> list[list[str]]:
    """One row per run in the order of COLUMNS, the best loss first; runs without a loss come last."""
    differing = differing_settings(runs)

    def best(run: LoggedRun) -> float:
        return min((value for value in run.losses()[2] if not math.isnan(value)), default=math.inf)

    rows = []
    for run in sorted(runs, key=best):
        settings, (key, _, values) = _settings(run), run.losses()
        rate = run.tokens_per_second
        rows.append(
            [
                run.name,
                f"{run.num_steps:,}",
                "held-out" if key == VALIDATION_LOSS else "training",
                f"{values[-1]:.4f}" if values else "-",
                f"{best(run):.4f}" if values else "-",
                f"{rate:,.0f}" if rate else "-",
                run.state,
                ", ".join(f"{name}={settings[name]}" for name in differing if name in settings),
            ]
        )
    return rows


def launched_jobs(runs: Path) -> list[tuple[str, str, str]]:
    """Job, command and log of everything that was handed to a cluster, the newest last."""
    rows = []
    for path in sorted((runs / "launch").glob("*/launch.json")):
        rows += [(row["job"], row["command"], row["log"]) for row in read_json(path)["jobs"]]
    return rows


def draw_curves(runs: Sequence[LoggedRun], picture: Path) -> Path | None:
    """One curve per run, of the loss it is judged by; None when no run has logged a finite loss."""
    from shared.report.plots import Curve, loss_curves

    curves = []
    for run in runs:
        key, steps, values = run.losses()
        if any(map(math.isfinite, values)):
            is_training = key == TRAINING_LOSS
            label = f"{run.name} (training)" if is_training else run.name
            curves.append(Curve(label, steps, values, is_noisy=is_training, has_points=not is_training))
    return loss_curves(picture, curves) if curves else None


def main(config: CompareConfig) -> None:
    """Print the table and save the picture."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    runs = [
        run
        for run in find_runs(config.runs, config.store)
        if not config.only or any(part in run.name for part in config.only)
    ]
    jobs = launched_jobs(config.runs)
    if jobs:
        print("jobs handed to the cluster, the newest last")
        for job, command, log in jobs[-config.last_jobs :]:
            print(f"  {job}  {command}\n      {log}")
    if not runs and jobs:
        return
    if not runs:
        raise ConfigError(
            f"no run with a log under {config.runs} and no RunLog in {config.store}"
            + (f" whose name contains {' or '.join(config.only)}" if config.only else "")
            + "; `make toy` makes a first one"
        )
    rows = table_rows(runs)
    numbers = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS[:-1]:
        is_word = name in ("run", "loss", "state")
        # A name may break over lines, a number may not.
        numbers.add_column(
            name, justify="left" if is_word else "right", overflow="fold", no_wrap=name != "run"
        )
    settings = Table(COLUMNS[0], COLUMNS[-1], box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        numbers.add_row(*row[:-1])
        settings.add_row(row[0], row[-1])
    console = Console()
    console.print("runs, the lowest loss first (nats per token)")
    console.print(numbers)
    if any(row[-1] for row in rows):
        console.print(settings)
    drawn = draw_curves(runs, config.picture)
    print(f"curves: {drawn}" if drawn else "no curves: no run has logged a finite loss yet")


if __name__ == "__main__":
    sys.exit(run_program(main, {"all": CompareConfig()}, inputs=("RunLog",)))
