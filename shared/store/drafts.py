"""Unfinished artifacts: each in a folder of its own, under a lock that dies with its process.

`.drafts/<id>/` holds the files and `<id>.lock` is locked by the process that writes them. The lock is made
before the folder and goes after it, so a folder whose lock is free or missing belongs to nobody and may be
swept by anyone.
"""

import contextlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.store import disk
from shared.store.lookup import Artifact


@dataclass
class Draft:
    """An artifact in the making: write files under `path`; a `with` block that ends well publishes them.

    Files under `path / "measured"` (times, rates, memory) are kept and verified but stay outside the digest.
    """

    kind: str
    path: Path
    root: Path
    cost_seconds: float | None = None  # left None: the time the draft was open
    cost_flops: float | None = None
    wanted_bytes: int | None = None  # set by `require_free`
    _artifact: Artifact | None = None

    @property
    def artifact(self) -> Artifact:
        """What was published; there only after the `with` block."""
        assert self._artifact is not None, (
            "a draft has its artifact only after its `with` block has ended well"
        )
        return self._artifact

    def finish(self, artifact: Artifact) -> None:
        """Take note of what was published; the store calls this."""
        self._artifact = artifact

    def require_free(self, num_bytes: int) -> None:
        """Say how many bytes are about to be written: a full disk is then met before the work, not after it.

        Raises:
            ArtifactError: the disk has less than that free.
        """
        self.wanted_bytes = num_bytes
        if shutil.disk_usage(self.root).free < num_bytes:
            raise self._disk_full(num_bytes)

    @contextlib.contextmanager
    def full_disk_explained(self) -> Iterator[None]:
        """Turn a full disk, met anywhere inside the block, into an error that says what is wanted."""
        try:
            yield
        except Exception as error:
            if not disk.is_disk_full(error):
                raise
            written = sum(file.lstat().st_size for file in self.path.rglob("*") if file.is_file())
            disk.remove_tree(self.path)  # first: its own space is free again
            raise self._disk_full(written) from error

    def _disk_full(self, written: int) -> Exception:
        wanted, at_least = (written, True) if self.wanted_bytes is None else (self.wanted_bytes, False)
        return disk.disk_full_error(
            self.root, doing=f"this {self.kind}", wanted_bytes=wanted, at_least=at_least
        )


@contextlib.contextmanager
def staging(drafts: Path, label: str, parents: dict[str, str]) -> Iterator[Path]:
    """A fresh folder that is gone when the block ends, unless it was renamed away before."""
    path = drafts / f"{label}-{os.getpid()}-{secrets.token_hex(4)}"
    lock = path.with_suffix(".lock")
    held = disk.create_locked(lock, {"pid": os.getpid(), "host": platform.node(), "parents": parents})
    try:
        path.mkdir()
        yield path
    finally:
        disk.remove_tree(path)
        lock.unlink(missing_ok=True)
        held.close()


def dead(drafts: Path) -> list[Path]:
    """The folders of drafts whose processes have died."""
    return [lock.with_suffix("") for lock in sorted(drafts.glob("*.lock")) if _is_free(lock)]


def sweep(drafts: Path) -> None:
    """Remove the drafts whose processes have died."""
    for lock in drafts.glob("*.lock"):
        held = disk.try_lock(lock)
        if held is not None:
            with held:
                disk.remove_tree(lock.with_suffix(""))
                lock.unlink(missing_ok=True)


def leftovers(drafts: Path) -> list[Path]:
    """What lies among the drafts and belongs to none: pieces of an interrupted publish, sweep or removal.

    Only for a caller that holds the store's lock alone: a publisher's own pieces look the same.
    """
    kept = {path for lock in drafts.glob("*.lock") for path in (lock, lock.with_suffix(""))}
    return sorted(path for path in drafts.iterdir() if path not in kept)


def _is_free(lock: Path) -> bool:
    held = disk.try_lock(lock)
    if held is not None:
        held.close()
    return held is not None


def living_parents(drafts: Path) -> set[str]:
    """The digests that unfinished drafts of living processes were started from."""
    wanted = set()
    for lock in drafts.glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):
            if not _is_free(lock):
                wanted |= set(json.loads(lock.read_text(encoding="utf-8"))["parents"].values())
    return wanted
