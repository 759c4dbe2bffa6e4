"""Checkpoints of an unfinished run: a directory per step that is either whole or ignored.

    run_dir/checkpoints/step-00000123/   what the state saved, runner.json, digests.json (written last)
    run_dir/checkpoints/latest           the name of the newest one, for people and other tools

Saving goes to a temporary sibling, is forced to the disk, and is renamed; only then does `latest` move and
do old ones go. So a kill or a full disk at any moment leaves the previous checkpoint as it was. Readers
trust no pointer: they look at the newest directory first, compare every file with its digest, and pass over
what is damaged with a warning.
"""

import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from shared.errors import ArtifactError
from shared.store.disk import sha256_of, sync_directory, sync_file

_NAME = re.compile(r"step-(\d{8,})")
_DIGESTS = "digests.json"
_RUNNER = "runner.json"


class State(Protocol):
    """Everything that a step changes: weights, optimizer, and the state of every random generator it draws
    from.

    `load(d)` after `save(d)` gives back the same bits; what is not saved is not resumed.
    """

    def save(self, directory: Path) -> None: ...

    def load(self, directory: Path) -> None: ...


@runtime_checkable
class RankedState(State, Protocol):
    """A state that is spread over ranks: what rank 0 saves, the others help to gather."""

    def help_save(self) -> None:
        """Called on every other rank while rank 0 is in `save`: the same collectives, nothing written."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk: its files have the digests that were written with them."""

    step: int
    path: Path
    runner: Mapping[str, Any]  # what the runner itself has to remember: guard, log size, seconds spent


class Checkpoints:
    """The checkpoints of one run directory; one writer at a time (the runner holds a lock)."""

    def __init__(self, run_dir: Path, keep: int = 2):
        self.root = run_dir / "checkpoints"
        self.keep = max(1, keep)

    def save(self, step: int, state: State, runner: Mapping[str, Any]) -> Path:
        """Save a checkpoint, then forget the oldest beyond `keep`; on any error the earlier ones stay."""
        self.root.mkdir(parents=True, exist_ok=True)
        final = self.path_of(step)
        draft = self.root / f".saving-{final.name}-{os.getpid()}"
        _remove(draft)
        draft.mkdir()
        try:
            state.save(draft)
            (draft / _RUNNER).write_text(json.dumps({"step": step, **runner}), encoding="utf-8")
            digests = {name: _digest(draft / name) for name in _files(draft)}
            (draft / _DIGESTS).write_text(json.dumps(digests, indent=1), encoding="utf-8")
            _sync_tree(draft)
            if final.exists():  # a damaged one of the same step, or the same state again
                self._discard(final)
            draft.rename(final)
            sync_directory(self.root)
        except BaseException:
            _remove(draft)
            raise
        self._point_to(final)
        for old in self.newest_first()[self.keep :]:
            self._discard(old)
        return final

    def path_of(self, step: int) -> Path:
        """Where the checkpoint of this step lies, when there is one."""
        return self.root / f"step-{step:08d}"

    def newest_first(self) -> list[Path]:
        """Directories that look like checkpoints, the highest step first; not yet verified."""
        if not self.root.is_dir():
            return []
        found = [path for path in self.root.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
        return sorted(found, key=lambda path: _step_of(path), reverse=True)

    def find(self) -> Checkpoint | None:
        """The newest whole checkpoint; damaged or unfinished ones are passed over, each with a warning."""
        for path in self.newest_first():
            try:
                return read_checkpoint(path)
            except ArtifactError as error:
                warnings.warn(f"passing over a damaged checkpoint: {error}", stacklevel=2)
        return None

    def sweep(self) -> None:
        """Remove what an earlier process left unfinished."""
        if self.root.is_dir():
            for path in self.root.glob(".*-step-*"):
                _remove(path)

    def _point_to(self, final: Path) -> None:
        sibling = self.root / ".latest.new"
        sibling.write_text(final.name + "\n", encoding="utf-8")
        sibling.replace(self.root / "latest")

    def _discard(self, path: Path) -> None:
        """Rename it out of the readers' sight, then remove it: a kill never leaves them half of one."""
        grave = path.with_name(f".removing-{path.name}-{os.getpid()}")
        _remove(grave)
        path.rename(grave)
        _remove(grave)


def read_checkpoint(path: Path) -> Checkpoint:
    """Verify a checkpoint directory against its digests.

    Raises:
        ArtifactError: a file is missing, cut or changed; the message names it.
    """
    for name, wanted in _read_digests(path).items():
        if not (path / name).is_file():
            raise ArtifactError(f"{path / name} is missing")
        size = (path / name).stat().st_size
        if size != wanted["bytes"]:
            raise ArtifactError(f"{path / name} has {size} bytes, wanted {wanted['bytes']}")
        if _digest(path / name) != wanted:
            raise ArtifactError(f"{path / name} has changed since it was written (its SHA-256 differs)")
    runner = json.loads((path / _RUNNER).read_text(encoding="utf-8"))
    return Checkpoint(step=runner["step"], path=path, runner=runner)


def _read_digests(path: Path) -> dict[str, dict[str, Any]]:
    """What the files of a checkpoint must be. Nothing vouches for this file but its own shape, so that is looked at."""
    try:
        digests = json.loads((path / _DIGESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} has no readable {_DIGESTS}: {error}") from error
    entries = digests.values() if isinstance(digests, dict) else [None]
    if not all(isinstance(entry, dict) and entry.keys() == {"sha256", "bytes"} for entry in entries):
        raise ArtifactError(f"{path / _DIGESTS} does not hold a SHA-256 and a size for each file")
    if _RUNNER not in digests:  # every save lists it, whatever else the state wrote
        raise ArtifactError(f"{path / _DIGESTS} says nothing of {_RUNNER}")
    return digests


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def _digest(path: Path) -> dict[str, Any]:
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}


def _sync_tree(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            sync_file(path)
        else:
            sync_directory(path)
    sync_directory(root)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
