"""One command in a process group of its own, ended by itself or by force.

The command runs in a fork of this process, which has imported what all of them need and computed nothing: threads do
not survive a fork.
"""

import json
import os
import random
import re
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.system.torture.faults import Counter, Fault, Layer, files_open_for_writing, tear

STORM = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)
SMALLEST_SHRINK = 1e-3  # of a moment that was too late: then something is wrong with the trial
Command = Callable[[Path], int]  # acts on a folder, and gives an exit status
WAIT_SECONDS = 600.0  # no command of a trial is this long: it hangs


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int  # exit status, or minus the signal's number
    operations: int  # on files below the folder, and units of progress
    saves: tuple[
        str, ...
    ]  # of these, by name: a file begun anew, about to be synced, or renamed before it was
    seconds: float
    said: str  # on both outputs

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL


def forked(
    command: Command,
    folder: Path,
    *,
    fault: Fault | None = None,
    kill_after_seconds: float | None = None,
    torn_by: random.Random | None = None,
    storm: random.Random | None = None,
    longest_pause_seconds: float = 1.0,
) -> Ended:
    """Run a command on a folder, in a child.

    It meets `fault`; or SIGKILL after a time, its open files torn first when `torn_by` is given; or `storm`: signals
    that ask it to stop, each after a random pause, until it has.
    """
    sys.stdout.flush()
    operations, saves = Counter(), Counter()
    reading, writing = os.pipe()  # open as long as any process of the group lives: its end is the group's
    with (
        tempfile.TemporaryFile("w+", errors="replace") as output,
        tempfile.NamedTemporaryFile("a+", errors="replace") as notes,
    ):
        began = time.perf_counter()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setsid()
                os.set_inheritable(writing, True)
                for stream in (1, 2):
                    os.dup2(output.fileno(), stream)
                sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
                sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
                status = status_of(command, folder, Layer(folder, fault, operations, saves, notes.fileno()))
            finally:
                os._exit(status)
        os.close(writing)
        ended = False
        if kill_after_seconds is not None:
            ended = is_over(reading, kill_after_seconds)
            if not ended:
                kill_group(child, folder, torn_by)
        elif storm is not None:
            while not is_over(reading, storm.uniform(0.0, longest_pause_seconds)):
                signal_group(child, storm.choice(STORM))
        if not ended and not is_over(reading, WAIT_SECONDS):
            kill_group(child, folder, None)
        os.close(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        elapsed = time.perf_counter() - began
        output.seek(0)
        notes.seek(0)
        names = tuple(notes.read().splitlines())
        return Ended(status, operations.value, names, elapsed, output.read())


def status_of(command: Command, folder: Path, layer: Layer) -> int:
    """Run the command behind the fault layer; the exit status of a program."""
    status = 1
    try:
        layer.install()
        status = command(folder)
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return status


def is_over(reading: int, seconds: float) -> bool:
    """Whether every process of the group has ended within so many seconds."""
    return bool(select.select([reading], [], [], seconds)[0])


def signal_group(leader: int, number: int) -> None:
    """Send a signal to a process group; one that has ended in the meantime is fine."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:  # between the fork and its setsid, or after the end
        os.kill(leader, number)


def kill_group(leader: int, folder: Path, torn_by: random.Random | None) -> None:
    """SIGKILL to a process group; with `torn_by`, what it has open for writing gets a random end first."""
    if torn_by is not None:
        signal_group(leader, signal.SIGSTOP)
        for path in sorted(set().union(*(files_open_for_writing(pid, str(folder)) for pid in group(leader)))):
            tear(Path(path), max(logged_for_good(Path(path)), os.stat(path).st_size - 64), torn_by)
    signal_group(leader, signal.SIGKILL)


def logged_for_good(path: Path) -> int:
    """How many bytes of a run's log were forced to the disk before its newest checkpoint, which counts on them."""
    told = (json.loads(file.read_text()) for file in path.parent.glob("checkpoints/step-*/runner.json"))
    return max((one["log_bytes"] for one in told), default=0)


def group(leader: int) -> list[int]:
    """The processes of a group."""
    import psutil

    found = []
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == leader:
                found.append(pid)
        except OSError:
            continue
    return found


def until_killed(strike: Callable[[float], Ended]) -> tuple[Ended, float]:
    """Strike until SIGKILL is what ended the command, each time at half the time of the one before; and at how much.

    `strike(shrink)` begins afresh. A command that was faster than its moment ended by itself and proves nothing.
    """
    shrink = 1.0
    ended = strike(shrink)
    while not ended.was_killed and shrink > SMALLEST_SHRINK:
        shrink /= 2
        ended = strike(shrink)
    return ended, shrink


@dataclass(frozen=True)
class Moment:
    """When and how a trial ends its command."""

    kind: str  # "kill": at an operation; "torn": at a save; "timer", "torn timer": after a time
    fraction: float  # of the operations, the saves of a kind or the seconds of an undisturbed run
    seed: int
    turn: int = (
        0  # of the kinds of file that are saved, so that a rare one is torn as often as the common ones
    )

    def strike(self, command: Command, folder: Path, whole: Ended, shrink: float) -> Ended:
        """Run a command up to the moment; `shrink` brings it forward."""
        if self.kind == "kill":
            at = int(self.fraction * shrink * whole.operations)
            return forked(command, folder, fault=Fault("kill", at, self.seed))
        if self.kind == "torn":
            kinds = [re.sub(r"[0-9a-f]{6,}|\d+", "#", name) for name in whole.saves]
            wanted = sorted(set(kinds))[self.turn % len(set(kinds))]
            places = [place for place, kind in enumerate(kinds) if kind == wanted]
            at = int(shrink * places[int(self.fraction * len(places))])
            return forked(command, folder, fault=Fault("torn", at, self.seed))
        torn_by = random.Random(self.seed) if self.kind == "torn timer" else None
        delay_seconds = self.fraction * shrink * whole.seconds
        return forked(command, folder, kill_after_seconds=delay_seconds, torn_by=torn_by)
