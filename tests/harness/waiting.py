"""Ranks that wait for one another for ever: noticed in seconds, and where each of them stands.

A rank that computes uses the processor, or is ready to. When all that are left sleep, none of them having used it to
speak of, nobody is there who could wake them. Where the system does not tell (it has no /proc), time alone ends them.
"""

import faulthandler
import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from shared.doors.load import WORKSPACE

QUIET_SECONDS = 5.0
QUIET_LOOKS = 8  # so many at least: a busy machine may give the one who looks his turn only now and then
IDLE_FRACTION = 0.02  # of the time: gloo's own thread wakes a hundred times a second and sleeps on
FRAME = re.compile(r'File "(.+)", line (\d+) in (.+)')
LIBRARIES = ("site-packages", "lib/python", "<frozen", "<string>", "tests/harness/")


class Standstill:
    """Whether some processes have been asleep, all of them and without a break."""

    def __init__(self) -> None:
        self._used: dict[int, float] = {}  # processor time when all had fallen asleep
        self._since, self._looks = time.monotonic(), 0

    def reached(self, pids: Sequence[int]) -> bool:
        """Look once more; to be asked a few times in a second."""
        now = time.monotonic()
        used = {pid: seconds for pid in pids if (seconds := seconds_asleep(pid)) is not None}
        allowed = IDLE_FRACTION * max(1.0, now - self._since)
        is_quiet = len(used) == len(pids) and all(
            abs(used[pid] - self._used.get(pid, -1.0)) <= allowed for pid in pids
        )
        if not is_quiet:
            self._used, self._since, self._looks = used, now, 0
            return False
        self._looks += 1
        return self._looks >= QUIET_LOOKS and now - self._since >= QUIET_SECONDS


def seconds_asleep(pid: int) -> float | None:
    """The processor time of a process whose threads all sleep; None: one is at work, or has a child that may be."""
    ticks = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            if (task / "children").read_text():
                return None
            state, *numbers = (task / "stat").read_text().rpartition(")")[2].split()
            if state != "S":
                return None
            ticks += int(numbers[10]) + int(numbers[11])
    except (OSError, ValueError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def tell_when_asked(folder: Path, rank: int) -> None:
    """From now on SIGUSR1 makes this process write where it stands, also from within a call that does not return."""
    file = os.open(folder / f"stands-{rank}", os.O_WRONLY | os.O_CREAT, 0o600)
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)


def where(pid: int, folder: Path, rank: int) -> str:
    """What a process that is stuck was asked to do, and by which line of whom."""
    file = folder / f"stands-{rank}"
    os.kill(pid, signal.SIGUSR1)
    text, until = "", time.monotonic() + 2.0
    while "_be_rank" not in text and time.monotonic() < until:
        time.sleep(0.01)
        text = file.read_text(errors="replace") if file.exists() else ""
    return place(text)


def place(text: str) -> str:
    """A line about a dumped stack: the innermost call, and the innermost line that is no library's."""
    for thread in text.split("\n\n"):
        if "_be_rank" not in thread:
            continue
        frames = FRAME.findall(thread)
        told = [frame for frame in frames if not any(part in frame[0] for part in LIBRARIES)]
        if not told:
            return ""
        file, line, function = told[0]
        path = Path(file)
        shown = path.relative_to(WORKSPACE) if path.is_relative_to(WORKSPACE) else path
        inside = [name for _, _, name in frames[: frames.index(told[0])] if name != "wrapper"]
        return f"{'in ' + inside[0] + ', called ' if inside else ''}at {shown}:{line} in {function}"
    return ""
