"""Kill a real training at thirty seeded moments, resume it, and compare it to the bit with one left alone.

Half of the kills come before a chosen operation (a write, an fsync, a rename, a batch), so that every one can be
repeated; half by a timer, wherever the training happens to be. Each trial ends with the same command run again until it
is done. Prints a table; exit status 1 when anything differs.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shared.runs.progress import progress
from tests.system import train_lm_child


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.torture", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--kills", type=int, default=30, help="how many trainings to kill (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments (default: 0)")
    options = parser.parse_args()
    if not hasattr(os, "fork"):
        print("not checked: this platform cannot fork")
        return 0
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        return torture(Path(name), options.kills, random.Random(options.seed))


def torture(folder: Path, num_kills: int, draw: random.Random) -> int:
    """Run the trials under `folder`; 1 when one of them differs from the undisturbed training."""
    prepared, whole_folder = folder / "prepared", folder / "whole"
    train_lm_child.prepare(prepared)
    shutil.copytree(prepared, whole_folder)
    undisturbed = train_lm_child.train(whole_folder)
    if undisturbed.status:
        print(f"error: the undisturbed training ended with status {undisturbed.status}; run it by hand first")
        return 1
    whole = train_lm_child.outcome(whole_folder)
    table = Table("trial", "killed at", "ended by", "finished", "differs in")
    num_failed = num_killed = 0
    for trial in progress(range(num_kills), "torture", "trainings"):
        run = folder / f"trial-{trial}"
        shutil.copytree(prepared, run)
        if trial % 2 == 0:
            moment = draw.randrange(undisturbed.operations)
            killed = train_lm_child.train(run, kill_at=moment)
            when = f"operation {moment} of {undisturbed.operations}"
        else:
            delay_seconds = draw.uniform(0.0, 0.8 * undisturbed.seconds)  # so that it comes before the end
            killed = train_lm_child.train(run, delay_seconds=delay_seconds)
            when = f"{delay_seconds:.2f} s of {undisturbed.seconds:.2f} s"
        num_killed += killed.status == -signal.SIGKILL
        resumed = train_lm_child.train(run)
        differ = (
            train_lm_child.differences(whole, train_lm_child.outcome(run))
            if resumed.status == 0
            else ["no end"]
        )
        num_failed += bool(differ)
        ended_by = "SIGKILL" if killed.status == -signal.SIGKILL else f"itself, status {killed.status}"
        table.add_row(
            str(trial), when, ended_by, "yes" if resumed.status == 0 else "no", ", ".join(differ) or "nothing"
        )
        shutil.rmtree(run)
    Console().print(table)
    print(f"{num_killed} of {num_kills} trainings were killed; {num_kills - num_failed} ended bit-equal")
    return int(num_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
