"""Being stopped and being alone: signals that ask a run to end, and the lock against a second writer."""

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from shared.errors import ConfigError, Preempted

_ASKED_BY_SYSTEM = ("SIGTERM", "SIGUSR1", "SIGUSR2")  # kill, and what Slurm sends ahead of pre-emption


class StopRequest:
    """Remembers a signal until the step boundary, where saving is safe.

    A second Ctrl-C stops at once: the last checkpoint is whole, only the steps since then are lost.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: only sets a flag, since a save in here could meet a half-done step."""
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt("stopped at once; the same command goes on from the last checkpoint")
        self.signal = signal.Signals(number)
        if number == signal.SIGINT:
            os.write(2, b"\nfinishing this step and saving; Ctrl-C again stops at once\n")

    def raise_if_asked(self, saved: str) -> None:
        """End the run in the way that was asked for; `saved` says what is on disk.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            Preempted: SIGTERM, SIGUSR1 or SIGUSR2.
        """
        if self.signal is None:
            return
        again = f"{saved}; the same command goes on from there"
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt(f"stopped by Ctrl-C: {again}")
        raise Preempted(f"stopped by {self.signal.name}: {again}")


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Collect stop signals while the block runs, then give the handlers back.

    Handlers can only be set in the main thread; elsewhere the block runs without.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    names = ("SIGINT", *_ASKED_BY_SYSTEM)
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, request.receive) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def single_writer(run_dir: Path) -> Iterator[None]:
    """Hold the run directory for this process.

    The lock belongs to the operating system, so it goes with a killed process; `writer.json` only says who
    holds it.

    Raises:
        ConfigError: another process is writing there; the message names it.
    """
    from filelock import FileLock, Timeout

    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{run_dir} is being written by {_writer(run_dir)}; "
            "wait for it, stop it, or give this run another --name"
        ) from None
    try:
        sibling = run_dir / ".writer.new"
        sibling.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "argv": sys.argv}))
        sibling.replace(run_dir / "writer.json")
        yield
    finally:
        lock.release()


def _writer(run_dir: Path) -> str:
    try:
        holder = json.loads((run_dir / "writer.json").read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError):
        return "another process"
