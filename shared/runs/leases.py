"""Leases: who is at work on what, for workers that share nothing but a directory.

    with held(path) as lease:        # None when another worker holds it
        ...
        lease.is_lost                # somebody took it over: we were thought dead

A lease is a file that its holder touches again and again. It saves work and names a second runner; it protects nothing:
a holder can be paused for an hour and wake up after its lease was given away. Whoever publishes must do so in one step
that only one can win (see `tasks`).

Clocks of hosts differ and jump, so no time of day is ever compared: an observer calls a lease dead when its file has
not changed for `lease_seconds` of the observer's own monotonic clock, or at once when the holder was a process of this
host that is gone.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TOUCHES_PER_LEASE = 4  # a holder may miss three in a row


@dataclass
class Lease:
    """A lease of ours; `is_lost` turns true when another holds it now."""

    path: Path
    token: str
    is_lost: bool = False

    def touch(self) -> None:
        """Show that we live, or find out that we were replaced."""
        if _token_of(self.path) != self.token:
            self.is_lost = True
            return
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path)

    def release(self) -> None:
        """Give the lease back, unless it is another's by now."""
        if _token_of(self.path) == self.token:
            self.path.unlink(missing_ok=True)


@dataclass
class Leases:
    """Takes leases in a directory and remembers since when each foreign one has not moved."""

    directory: Path
    lease_seconds: float = 60.0
    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)  # name -> what we saw, since when

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[Lease | None]:
        """Hold the lease `name` during the block, touched by a thread; None when another holds it."""
        lease = self.take(name)
        if lease is None:
            yield None
            return
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.lease_seconds / TOUCHES_PER_LEASE) and not lease.is_lost:
                lease.touch()

        thread = threading.Thread(target=beat, daemon=True, name=f"lease {name}")
        thread.start()
        try:
            yield lease
        finally:
            done.set()
            thread.join()
            lease.release()

    def take(self, name: str) -> Lease | None:
        """The lease, new or taken over from the dead; None when its holder lives."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"{name}.json"
        lease = Lease(path, secrets.token_hex(8))
        if _create(lease):
            return lease
        if not self.is_dead(name):
            return None
        # Renaming has one winner. The loser finds the name gone or, at worst, a fresh lease that it takes away too:
        # its holder notices at the next touch, and both do the same work. Wasteful, rare, and right.
        grave = path.with_suffix(f".{lease.token}.dead")
        with contextlib.suppress(FileNotFoundError):
            path.rename(grave)
            grave.unlink()
        return lease if _create(lease) else None

    def is_dead(self, name: str) -> bool:
        """Whether the holder of a lease is gone, as far as can be told from here."""
        path = self.directory / f"{name}.json"
        try:
            seen = (path.stat().st_mtime_ns, path.read_bytes())
        except FileNotFoundError:
            return False  # given back; `take` will get it
        if _is_gone_from_this_host(seen[1]):
            return True
        before, since = self._seen.get(name, (None, 0.0))
        now = time.monotonic()
        if seen != before:
            self._seen[name] = (seen, now)
            return False
        return now - since >= self.lease_seconds

    def name_held_by(self, pid: int) -> str:
        """The lease that a process of this host holds or held when it died; empty when none."""
        for path in self.directory.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                holder = _holder(path.read_bytes())
                if holder.get("host") == socket.gethostname() and holder.get("pid") == pid:
                    return path.stem
        return ""


def process_age(pid: int) -> str | None:
    """What tells a process from a later one of the same number; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]  # start time in ticks
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)  # no /proc here: its existence must do
    except ProcessLookupError:
        return None
    except PermissionError:
        return "unknown"
    return "unknown" if not Path("/proc/self/stat").exists() else None


def _create(lease: Lease) -> bool:
    """Put the file there in one step, content and all; False when there is one already."""
    holder = {
        "token": lease.token,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "age": process_age(os.getpid()),
    }
    sibling = lease.path.with_suffix(f".{lease.token}.new")
    sibling.write_text(json.dumps(holder), encoding="utf-8")
    try:
        os.link(sibling, lease.path)  # fails when the name exists; atomic on network file systems too
    except FileExistsError:
        return False
    finally:
        sibling.unlink()
    return True


def _holder(content: bytes) -> dict[str, object]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _token_of(path: Path) -> object:
    try:
        return _holder(path.read_bytes()).get("token")
    except FileNotFoundError:
        return None


def _is_gone_from_this_host(content: bytes) -> bool:
    holder = _holder(content)
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    return process_age(pid) != holder.get("age")
