"""File operations that keep their promise when the process is killed, the disk is full or the power fails.

The order that holds: write a temporary sibling, fsync it, rename it into place, fsync the directory. A reader
then sees the old state or the new one, never a mixture. Locks are `flock` locks: the kernel drops them when
their holder dies, so a lock says "alive" without trusting process numbers.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from shared.errors import ArtifactError

_CANNOT_SYNC_DIRECTORIES = {errno.EINVAL, errno.EBADF, errno.ENOTSUP}  # some network file systems
_DISK_FULL_CODES = {errno.ENOSPC, errno.EDQUOT}
_DISK_FULL_WORDS = (
    "No space left on device",
    f"os error {errno.ENOSPC}",  # of Rust: safetensors
    "PytorchStreamWriter failed writing",  # of torch.save, which keeps the reason to itself
    ". unexpected pos ",
)


def readable_bytes(num_bytes: int) -> str:
    """A size for people: decimal units, three digits.

    >>> readable_bytes(999), readable_bytes(31_457_280)
    ('999 B', '31.5 MB')
    """
    size, unit = float(num_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{num_bytes} B" if unit == "B" else f"{size:.3g} {unit}"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hex, read as a stream."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Bring a file's contents to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Bring a directory's entries (creations, renames, removals) to the disk, where the file system can."""
    try:
        sync_file(path)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_DIRECTORIES:
            raise


def make_directory(path: Path) -> None:
    """Create a directory and what lies above it, and make its entry durable; an existing one is fine."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        sync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a small JSON file and fsync it; for a file that nobody reads yet."""
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """Replace a text file in one step: readers see the old text or the new one.

    Without fsync, for what its program can write again; what cannot be made again goes through `replace_json`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sibling = path.with_name(f".{path.name}.new")
    sibling.write_text(text, encoding="utf-8")
    sibling.replace(path)


def replace_json(path: Path, value: Any, *, temporary_in: Path) -> None:
    """Replace a small JSON file atomically and durably: readers see the old content or the new one."""
    make_directory(path.parent)
    temporary = temporary_in / f"pointer-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        write_json(temporary, value)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_tree(path: Path) -> None:
    """Remove a directory; one that is already gone, or going under another process's hands, is fine."""
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def store_lock(root: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the store's lock: publishers share it, so they never wait for one another; gc holds it alone."""
    with (root / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def create_locked(path: Path, value: Any) -> IO[str]:
    """Create a JSON file that is locked from the moment it can be seen until its process closes it or dies."""
    temporary = path.with_suffix(".new")
    file = temporary.open("x", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(value, file)
        file.flush()
        os.rename(temporary, path)
    except BaseException:
        file.close()
        temporary.unlink(missing_ok=True)
        raise
    return file


def try_lock(path: Path) -> IO[str] | None:
    """Lock an existing file if nobody holds it; None when it is held or gone."""
    try:
        file = path.open("r", encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that no space is left; some libraries say so only in words."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL_CODES:
        return True
    return any(words in str(error) for words in _DISK_FULL_WORDS)


def disk_full_error(root: Path, *, doing: str, wanted_bytes: int, at_least: bool) -> ArtifactError:
    """The error for a full disk: what was being written, what it wants, what there is, how to mend it."""
    free = shutil.disk_usage(next(path for path in (root, *root.absolute().parents) if path.exists())).free
    wanted = f"{'more than ' if at_least else ''}{readable_bytes(wanted_bytes)}"
    return ArtifactError(
        f"the disk under {root} is full: {doing} wants {wanted} of free space, and {readable_bytes(free)} is "
        "free. The unfinished files are removed, and nothing half-written is published. Free some space "
        f"(python -m shared.store.cli --store={root} gc --delete removes what no name needs) or give "
        "--store=PATH on another disk, then run the same command again."
    )
