"""The fault-injecting file layer: what a killed process, a full disk or a clock that jumps does, at a chosen operation.

It lies between a program and the files below one folder, in the program's own process and in those that it forks.
Operations are every opening, renaming, removing, syncing there and every unit of progress (a step, a task, a chunk), so
"operation n" is a moment that can be repeated. File operations are seen through the interpreter's audit events, which
fire before each, those of the standard library too.
"""

import errno
import mmap
import os
import random
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.runs import progress, runlog

COUNTED = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.truncate",
    "os.chmod",
    "fcntl.flock",
}
NEEDS_SPACE = {"open", "os.mkdir", "os.rename", "os.link", "os.fsync", "append"}
CHANGES = NEEDS_SPACE | {"os.remove", "os.rmdir", "os.truncate", "os.chmod"}
JUMPS_SECONDS = (0.0, -3600.0, 86_400.0)  # an hour back, a day forward


@dataclass(frozen=True)
class Fault:
    """What goes wrong, from operation `at` on.

    kill: SIGKILL to the whole process group.
    torn: the same at save number `at`: a file that was just begun anew holds random bytes, or one that is about to be
        synced, or renamed before it was, gets a random end.
    full: whatever needs space fails, as on a full disk.
    read-only: whatever changes a file fails.
    clock: at every operation the time of day may be an hour back, a day ahead, or right.
    """

    kind: Literal["kill", "torn", "full", "read-only", "clock"]
    at: int = 0
    seed: int = 0


class Counter:
    """A number that forked processes share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    def add(self) -> int:
        """Count one more; the number before."""
        before = self.value
        self._memory[:] = struct.pack("q", before + 1)
        return before

    @property
    def value(self) -> int:
        return struct.unpack("q", self._memory[:])[0]


class Layer:
    """Counts the operations below `root` and lets `fault` happen."""

    def __init__(
        self, root: Path, fault: Fault | None, operations: Counter, saves: Counter, notes: int
    ) -> None:
        self.root, self.fault, self.operations, self.saves = str(root), fault, operations, saves
        self.notes = notes  # the descriptor that the name of each saved file is written to
        self.draw = random.Random(fault.seed if fault else 0)
        self.durable_bytes: dict[str, int] = {}  # of files opened for writing: what no crash can take back
        self.clock_offset_seconds = 0.0
        self.is_inside = False

    def install(self) -> None:
        """Begin; there is no way back, so only for a process of its own."""
        real_fsync, real_time, real_time_ns = os.fsync, time.time, time.time_ns

        def fsync(descriptor: int) -> None:
            path = path_of(descriptor)
            if path.startswith(self.root):
                self.operation("os.fsync", path, is_file=stat.S_ISREG(os.fstat(descriptor).st_mode))
            real_fsync(descriptor)
            if path.startswith(self.root):
                self.durable_bytes[path] = os.fstat(descriptor).st_size

        os.fsync = fsync
        time.time = lambda: real_time() + self.clock_offset_seconds
        time.time_ns = lambda: real_time_ns() + int(self.clock_offset_seconds * 1e9)
        self._count_calls(progress.Progress, "advance", "advance")
        self._count_calls(runlog.RunLog, "append", "append")
        sys.addaudithook(self.hook)

    def _count_calls(self, owner: type, name: str, event: str) -> None:
        act: Callable[..., Any] = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.operation(event, self.root)
            return act(*arguments, **options)

        setattr(owner, name, counted)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit event, before what it announces."""
        if event not in COUNTED or self.is_inside:
            return
        path = path_of(arguments[0]) if isinstance(arguments[0], int) else os.fsdecode(arguments[0])
        has_folder = event in ("os.remove", "os.rmdir") and arguments[-1] != -1  # within rmtree: a bare name
        if not (path.startswith(self.root) or has_folder):
            return
        if event == "open":
            self._opening(path, arguments[1], int(arguments[2]))
        else:
            self.operation(event, path, is_file=event == "os.rename" and Path(path).is_file())
            if event == "os.rename":
                self.durable_bytes.pop(path, None)

    def _opening(self, path: str, mode: str | None, flags: int) -> None:
        """Remember how much of a file was there before it is opened for writing."""
        if mode is None:
            writes, truncates, creates = flags & os.O_ACCMODE, flags & os.O_TRUNC, flags & os.O_EXCL
        else:
            writes, truncates, creates = set(mode) & set("wxa+"), "w" in mode, "x" in mode
        if not writes:
            self.operation("read", path)
            return
        size = os.stat(path).st_size if os.path.exists(path) else 0
        begins_anew = bool(truncates or (creates and not os.path.exists(path)))
        self.durable_bytes[path] = 0 if begins_anew else self.durable_bytes.get(path, size)
        self.operation("open", path, begins_anew=begins_anew)

    def operation(self, event: str, path: str, *, is_file: bool = False, begins_anew: bool = False) -> None:
        """Count an operation, and let the fault happen when its time has come."""
        if self.is_inside:
            return
        is_save = begins_anew or (is_file and os.stat(path).st_size > self.durable_bytes.get(path, 0))
        save = self.saves.add() if is_save else -1
        if is_save:
            os.write(self.notes, f"{event} {os.path.basename(path)}\n".encode(errors="replace"))
        number, fault = self.operations.add(), self.fault
        if fault is None or (save if fault.kind == "torn" else number) < fault.at:
            return
        self.is_inside = True
        try:
            if fault.kind == "torn" and begins_anew:
                Path(path).write_bytes(self.draw.randbytes(self.draw.randint(1, 4096)))
            elif fault.kind == "torn":
                tear(Path(path), self.durable_bytes.get(path, 0), self.draw)
            if fault.kind in ("kill", "torn"):
                os.killpg(0, signal.SIGKILL)
            if fault.kind == "clock":
                self.clock_offset_seconds = self.draw.choice(JUMPS_SECONDS)
            if fault.kind == "full" and event in NEEDS_SPACE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            if fault.kind == "read-only" and event in CHANGES:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        finally:
            self.is_inside = False


def tear(path: Path, durable_bytes: int, draw: random.Random) -> bool:
    """Leave a file as a crash may: beyond what was safe, cut anywhere, with any bytes behind; False: all was safe."""
    size = path.stat().st_size
    if size <= durable_bytes:
        return False
    keep = draw.randint(durable_bytes, size)
    num_random = draw.choice((0, size - keep, size - keep + draw.randint(1, 4096)))
    with path.open("r+b") as file:
        file.truncate(keep)
        file.seek(keep)
        file.write(draw.randbytes(num_random))
    return True


def files_open_for_writing(pid: int, root: str) -> set[str]:
    """The plain files below `root` that a process holds open for writing; asks Linux's /proc, elsewhere none."""
    found = set()
    folder = Path(f"/proc/{pid}")
    for entry in folder.glob("fd/*"):
        try:
            path = os.readlink(entry)
            flags = int((folder / "fdinfo" / entry.name).read_text().split("flags:")[1].split()[0], 8)
        except (OSError, IndexError):
            continue
        if flags & os.O_ACCMODE and path.startswith(root) and os.path.isfile(path):
            found.add(path)
    return found


def path_of(descriptor: int) -> str:
    """The path that a descriptor was opened by; empty where the platform does not tell."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
