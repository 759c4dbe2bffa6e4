"""Garbage: artifacts that no name needs, drafts of dead processes, keys and memories that point at nothing.

What is kept: every named artifact with its whole lineage, every unfinished draft of a living process, and
what such a draft was started from. gc holds the store's lock alone, so nothing is published while it decides.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ArtifactError
from shared.store import disk, drafts, lookup
from shared.store.artifacts import Artifact, Store
from shared.store.catalog import KINDS
from shared.store.pointers import read_pointer


@dataclass(frozen=True)
class Garbage:
    """What a collection removed, or would remove."""

    artifacts: list[Artifact]
    unreadable: list[Path]  # folders without a readable manifest, which no name needs
    drafts: list[Path]
    num_bytes: int


def collect(store: Store, *, delete: bool) -> Garbage:
    """Find what nothing needs and, if asked, remove it.

    Raises:
        ArtifactError: a named artifact, or one of its lineage, has a damaged manifest: what it needs is not
            known.
    """
    if not store.drafts.is_dir():
        return Garbage([], [], [], 0)
    with disk.store_lock(store.root, exclusive=True):
        dead = drafts.dead(store.drafts)
        needed = _needed(store)
        artifacts, unreadable = [], []
        for kind in KINDS:
            for digest in lookup.digests_of(store.root, kind):
                if digest in needed:
                    continue
                try:
                    artifacts.append(lookup.load(store.root, kind, digest))
                except ArtifactError:
                    unreadable.append(store.root / kind / digest)
        folders = [*(artifact.path for artifact in artifacts), *unreadable, *dead]
        size = sum(path.lstat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
        if delete:
            _delete(store, [*(artifact.path for artifact in artifacts), *unreadable])
        return Garbage(artifacts, unreadable, dead, size)


def _needed(store: Store) -> set[str]:
    """The digests that are kept; each manifest is read once, however many names lead to it.

    Raises:
        ArtifactError: a manifest that cannot be read, or an ancestor that is gone.
    """
    roots = drafts.living_parents(store.drafts)
    for kind in KINDS:
        roots |= set(store.names(kind).values())
    needed: set[str] = set()
    waiting = []
    for digest in roots:
        if any((store.root / kind / digest).is_dir() for kind in KINDS):
            waiting.append((digest, "a name's target"))
        else:
            warnings.warn(f"a name points at {digest}, which is gone from {store.root}", stacklevel=2)
    while waiting:
        digest, wanted_by = waiting.pop()
        if digest in needed:
            continue
        # One that is there and cannot be read: its lineage is not known, so nothing is safe to remove.
        artifact = lookup.load_any(store.root, digest, wanted_by=wanted_by)
        needed.add(digest)
        waiting += [(parent, f"the {role} of {artifact}") for role, parent in artifact.parents.items()]
    return needed


def _delete(store: Store, folders: list[Path]) -> None:
    for folder in folders:
        aside = store.drafts / f"removed-{folder.name}"
        folder.rename(aside)  # at once: a half-removed artifact is never seen
        disk.remove_tree(aside)
        (store.root / ".verified" / f"{folder.name}.json").unlink(missing_ok=True)
    drafts.sweep(store.drafts)
    for leftover in drafts.leftovers(store.drafts):
        disk.remove_tree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    for pointer in (store.root / "keys").glob("*.json"):
        target = read_pointer(pointer)
        if target is not None and not store.root.joinpath(*target).is_dir():
            pointer.unlink(missing_ok=True)
