"""Real mounts and clocks of one process alone, through Linux's namespaces: no right is needed where users have them.

Each call holds for the process that makes it and its children; the machine's own mounts and clocks are never touched.
"""

import ctypes
import os
from pathlib import Path

NEW_MOUNTS, NEW_USER, NEW_CLOCKS = 0x00020000, 0x10000000, 0x00000080
READ_ONLY, REMOUNT = 1, 32


class NotAllowed(Exception):
    """This kernel, or whoever set up this machine, does not allow it; the message is the reason."""


def enter(*kinds: int) -> None:
    """Give this process a user namespace and, in it, namespaces of other kinds.

    Raises:
        NotAllowed: it may not.
    """
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", ctypes.c_int(NEW_USER | sum(kinds)))
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise NotAllowed(f"no user may be mapped into a namespace ({error.strerror})") from error


def mount_memory(folder: Path, num_bytes: int) -> None:
    """Mount a file system of so many bytes, which is kept in memory.

    Raises:
        NotAllowed: it may not.
    """
    _mount(folder, 0, f"size={num_bytes}")


def remount(folder: Path, num_bytes: int, *, read_only: bool = False) -> None:
    """Change the size of what `mount_memory` mounted, or close it to writing."""
    _mount(folder, REMOUNT | (READ_ONLY if read_only else 0), f"size={num_bytes}")


def advance_monotonic_clock(seconds: int) -> None:
    """Put the clocks that count from the start of the machine forward, for children of this process alone.

    Raises:
        NotAllowed: it may not.
    """
    enter(NEW_CLOCKS)
    try:
        Path("/proc/self/timens_offsets").write_text(f"monotonic {seconds} 0\nboottime {seconds} 0\n")
    except OSError as error:
        raise NotAllowed(f"clocks of a namespace cannot be set ({error.strerror})") from error


def _mount(folder: Path, flags: int, options: str) -> None:
    place = os.fsencode(folder)
    _call("mount", b"none", place, b"tmpfs", ctypes.c_ulong(flags), options.encode())


def _call(name: str, *arguments: object) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        raise NotAllowed(f"this platform has no {name}()")
    if function(*arguments):
        raise NotAllowed(f"{name}() is refused ({os.strerror(ctypes.get_errno())})")
