"""Disturb every long program, and every surrounding it may find itself in, and show that nothing comes of it.

    make torture                                        everything, about half an hour on two cores
    make torture ARGS="--only encode --kills 100"       one row of the table, harder

Each long program is killed at drawn moments: before an operation, by a timer, and with random bytes at the end of the
file that it is saving. The same command is given again, and what it leaves is compared to the bit with what a run that
nobody disturbed leaves. Exit status 1 when anything differs.
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shared.runs.config import did_you_mean
from shared.runs.parallel import available_cores, map_in_order
from shared.runs.progress import progress
from shared.runs.step_key import source_digest
from tests.system.torture.kills import Ground, Verdict, kill_trial, undisturbed
from tests.system.torture.programs import PROGRAMS, page_server, prepare
from tests.system.torture.surroundings import SURROUNDINGS

SOURCES = ("a1_basics", "shared")  # a changed program is another step, with another key
AT_ONCE = 2  # trials: each is mostly one process


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows asked for and print the table."""
    options = arguments().parse_args(argv)
    rows = [*PROGRAMS, *SURROUNDINGS]
    unknown = [name for name in options.only if name not in rows]
    if unknown or options.kills < 1:
        what = (
            f"no row {unknown[0]!r}{did_you_mean(unknown[0], rows)}"
            if unknown
            else "--kills must be at least 1"
        )
        print(f"error: {what}. Rows: {', '.join(rows)}", file=sys.stderr)
        return 2
    if not hasattr(os, "fork"):
        print("not checked: this platform cannot fork")
        return 0
    os.environ["OMP_NUM_THREADS"] = "1"
    warm_up()
    with tempfile.TemporaryDirectory(prefix="torture-") as name, page_server(Path(name)):
        ground = Ground(Path(name).resolve(), options.seed)
        return torture(ground, options.only or rows, options.kills)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.torture",
        description=(__doc__ or "").split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="rows of the table; none: all")
    parser.add_argument(
        "--kills", type=int, default=30, help="of each program; surroundings take a third of it"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    return parser


def warm_up() -> None:
    """Import, before the first fork, what every program needs; nothing is computed with torch, which starts threads."""
    for module in (
        "torch",
        "tyro",
        "numpy",
        "regex",
        "safetensors.torch",
        "matplotlib.pyplot",
        "filelock",
        "psutil",
    ):
        importlib.import_module(module)
    importlib.import_module("a1_basics.tokenizers.bpe_fast").warm()


def torture(ground: Ground, rows: Sequence[str], num_kills: int) -> int:
    """Prepare, run the undisturbed ones, then all trials; 1 when one of them differs."""
    workers = min(AT_ONCE, available_cores())
    code = [source_digest(package) for package in SOURCES]
    (ground.folder / "prepared").mkdir()
    prepare(ground.folder / "prepared")
    needed = list(
        dict.fromkeys(n for row in rows for n in ([row] if row in PROGRAMS else SURROUNDINGS[row].programs))
    )
    wholes = map_in_order(lambda name: undisturbed(ground, name), needed, workers)
    for name, whole in zip(progress(needed, "undisturbed", "programs"), wholes, strict=True):
        ground.wholes[name] = whole
    trials = [(row, number) for row in rows for number in range(trials_of(row, num_kills))]
    verdicts = []
    with progress(len(trials), "torture", "trials") as bar:
        for verdict in map_in_order(lambda trial: run_trial(ground, *trial), trials, workers):
            verdicts.append(verdict)
            bar.advance(note=verdict.row)
            if verdict.differs:
                print(f"DIFFERS: {verdict.row}, {verdict.what}: {'; '.join(verdict.differs)}", flush=True)
    Console().print(table_of(rows, verdicts))
    if code != [source_digest(package) for package in SOURCES]:
        print(
            "error: the code was edited meanwhile, so results may differ for that alone; run it again",
            file=sys.stderr,
        )
        return 2
    num_wrong = sum(bool(verdict.differs) for verdict in verdicts)
    print(
        f"{num_wrong} of {len(verdicts)} trials differ from an undisturbed run"
        if num_wrong
        else "nothing differs"
    )
    return int(num_wrong > 0)


def trials_of(row: str, num_kills: int) -> int:
    """How many trials a row has."""
    return num_kills if row in PROGRAMS else min(SURROUNDINGS[row].at_most, -(-num_kills // 3))


def run_trial(ground: Ground, row: str, number: int) -> Verdict:
    """One trial of a row, timed; an error of our own is a failure of the trial."""
    began = time.perf_counter()
    try:
        verdict = (
            kill_trial(ground, row, number)
            if row in PROGRAMS
            else SURROUNDINGS[row].trial(ground, row, number)
        )
    except Exception as error:
        verdict = Verdict(row, f"trial {number}", differs=[f"{type(error).__name__}: {error}"])
    return Verdict(**{**vars(verdict), "seconds": time.perf_counter() - began})


def table_of(rows: Sequence[str], verdicts: Sequence[Verdict]) -> Table:
    """A line for each row."""
    table = Table("what", "trials", "killed", "bit-equal", "seconds", "not checked")
    for row in rows:
        own = [verdict for verdict in verdicts if verdict.row == row]
        checked = [verdict for verdict in own if not verdict.not_checked]
        num_equal = sum(not verdict.differs for verdict in checked)
        reasons = dict.fromkeys(verdict.not_checked for verdict in own if verdict.not_checked)
        table.add_row(
            row,
            str(len(checked)),
            str(sum(verdict.killed for verdict in checked)),
            str(num_equal) if num_equal == len(checked) else f"[red]{num_equal}[/red]",
            f"{sum(verdict.seconds for verdict in own):.0f}",
            "; ".join(reasons),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
