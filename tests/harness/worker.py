"""The grader's end of a warm process: send a job, watch its time, memory and output, and bring back what it sent."""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

import psutil

from shared.doors.load import WORKSPACE

MAX_OUTPUT_BYTES = 16 * 2**20
MAX_RECORD_BYTES = 32 * 2**20
KEPT_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "LM_TEST_DATA", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH",
    "TRITON_INTERPRET", "SSL_CERT_FILE", "TERM",
)  # fmt: skip
"""No token or password of the grader's environment reaches learner code."""


@dataclass
class Report:
    """What came back from one run, unjudged."""

    records: bytes = b""
    output: bytes = b""
    exit_status: int | None = None  # as from waitpid; None when the warm process itself is gone
    stopped: str = ""  # "", "time", "memory", "output" or "records": why the grader ended it
    detail: str = ""
    seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass
class Worker:
    """One warm process. It runs one job at a time; several of them run side by side."""

    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _socket: socket.socket | None = None
    _buffer: bytes = b""
    _ready: bool = False
    _errors: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def start(self) -> None:
        """Start importing in the background; `run` waits until that is done."""
        if self._process is not None and self._process.poll() is None:
            return
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        environment |= {
            "OMP_NUM_THREADS": "1",  # no thread pool before the fork; the child sets its own number
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "PYTHONPATH": str(WORKSPACE),
            "PYTHONUNBUFFERED": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        } | self.environment
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=WORKSPACE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )
        theirs.close()
        self._socket, self._buffer, self._ready = ours, b"", False

    def close(self) -> None:
        """End the warm process and everything below it."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._kill_below()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
        self._process = self._socket = None

    def __enter__(self) -> "Worker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _below(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _kill_below(self) -> None:
        """Kill every process below the warm one, and those forked meanwhile, until none is left running."""
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            alive = [process for process in self._below() if _is_running(process)]
            if not alive:
                return
            for process in alive:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    process.kill()

    def _message(self, timeout: float | None) -> dict[str, Any] | None:
        """The next line from the warm process, None at the time limit. Raises: EOFError: it is gone."""
        assert self._socket is not None
        while b"\n" not in self._buffer:
            self._socket.settimeout(timeout)
            try:
                data = self._socket.recv(65536)
            except (TimeoutError, BlockingIOError):
                return None
            except ConnectionError as error:
                raise EOFError from error
            if not data:
                raise EOFError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def _await_ready(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self.start()
        if self._ready:
            return
        try:
            self._ready = self._message(180.0) is not None
        except EOFError:
            self._ready = False
        if not self._ready:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")[-2000:]
            self.close()
            raise RuntimeError(f"the grader's warm process did not start: {said or 'no word from it'}")

    def run(self, job: dict[str, Any], *, time_limit_seconds: float, memory_limit_bytes: int) -> Report:
        """Run one job in a fork and bring back what it sent; its working directory is made and removed here."""
        self._await_ready()
        with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as folder:
            return self._watch({**job, "cwd": folder}, time_limit_seconds, memory_limit_bytes)

    def _watch(self, job: dict[str, Any], time_limit_seconds: float, memory_limit_bytes: int) -> Report:
        assert self._socket is not None
        report, began = Report(), time.monotonic()
        record_read, record_write = os.pipe()
        output_read, output_write = os.pipe()
        try:
            self._socket.settimeout(30.0)
            socket.send_fds(self._socket, [json.dumps(job).encode() + b"\n"], [record_write, output_write])
        finally:
            os.close(record_write)
            os.close(output_write)
        tree = Tree(time_limit_seconds, memory_limit_bytes, began)
        records, output = bytearray(), bytearray()
        dropped = 0
        with selectors.DefaultSelector() as selector:
            for fd in (record_read, output_read):
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            selector.register(self._socket, selectors.EVENT_READ)
            ended = False
            while not ended:
                for key, _ in selector.select(0.05):
                    if key.fileobj is self._socket:
                        try:
                            message = self._message(5.0)
                        except EOFError:
                            report.detail = "the grader's own process was killed"
                            message = {"exit": None}
                        if message and "exit" in message:
                            report.exit_status, ended = message["exit"], True
                        while not ended and b"\n" in self._buffer:
                            message = self._message(5.0) or {}
                            if "exit" in message:
                                report.exit_status, ended = message["exit"], True
                    else:
                        dropped += _drain(key.fd, records if key.fd == record_read else output, selector)
                if not report.stopped:
                    if len(output) + dropped > MAX_OUTPUT_BYTES:
                        report.stopped, report.detail = (
                            "output",
                            f"more than {MAX_OUTPUT_BYTES >> 20} MiB printed",
                        )
                    elif len(records) > MAX_RECORD_BYTES:
                        report.stopped = "records"
                    else:
                        report.stopped, report.detail = tree.over_limit(self._below)
                    if report.stopped:
                        self._kill_below()
            self._kill_below()
            for fd, into in ((record_read, records), (output_read, output)):
                _drain(fd, into, None)
                os.close(fd)
        report.records, report.output = bytes(records), bytes(output)
        report.seconds, report.peak_memory_bytes = time.monotonic() - began, tree.peak_memory_bytes
        return report


@dataclass
class Tree:
    """The limits of a process tree. Wall clock is forgiving on a busy machine and strict on a stuck process."""

    time_limit_seconds: float
    memory_limit_bytes: int
    began: float
    peak_memory_bytes: int = 0
    _looked: float = 0.0

    def over_limit(self, processes: Callable[[], list[psutil.Process]]) -> tuple[str, str]:
        """("time" or "memory" or "", what was measured)."""
        now = time.monotonic()
        if now - self._looked < 0.1:
            return "", ""
        self._looked = now
        tree = processes()
        resident = sum(_memory_bytes(process) for process in tree)
        if resident > self.memory_limit_bytes:
            resident = sum(_memory_bytes(process, shared_once=True) for process in tree)
        self.peak_memory_bytes = max(self.peak_memory_bytes, resident)
        if resident > self.memory_limit_bytes:
            return (
                "memory",
                f"{resident / 2**30:.1f} GiB; the limit is {self.memory_limit_bytes / 2**30:.1f} GiB",
            )
        wall = now - self.began
        if wall <= self.time_limit_seconds:
            return "", ""
        worked = sum(_cpu_seconds(process) for process in tree)
        starved = 0.05 * wall < worked < 0.9 * self.time_limit_seconds
        if starved and wall < 4 * self.time_limit_seconds:
            return "", ""
        return "time", f"{wall:.0f} s; the limit is {self.time_limit_seconds:.0f} s"


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _memory_bytes(process: psutil.Process, shared_once: bool = False) -> int:
    try:
        if shared_once and sys.platform == "linux":
            return process.memory_full_info().pss
        return process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def _drain(fd: int, into: bytearray, selector: selectors.BaseSelector | None) -> int:
    """Read what is there; bytes beyond the limit are counted and thrown away."""
    dropped = 0
    while True:
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return dropped
        if not data:
            if selector is not None:
                selector.unregister(fd)
            return dropped
        room = max(MAX_OUTPUT_BYTES, MAX_RECORD_BYTES) + 1 - len(into)
        into += data[:room]
        dropped += max(0, len(data) - room)
        if selector is not None and len(data) == 1 << 16:
            return dropped  # a flood: look at the limits between reads
