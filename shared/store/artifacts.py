"""The store: immutable, content-addressed artifacts, the names that point at them, and how one is published.

    with store.draft("Corpus", config={"seed": 1}, parents={}, name="stories") as draft:
        (draft.path / "train.txt").write_text(...)
    draft.artifact.digest                     # the same files, config and parents always give the same digest
    store.open("stories", "Corpus").file("train.txt")

Layout: `<Kind>/<digest>/{files, manifest.json}`, `names/<Kind>/<name>.json`, `keys/<key>.json`, unfinished
work in `.drafts/`. An artifact appears by one rename of a folder that is already on the disk, then its name
moves: a process killed anywhere leaves the old state or the new one, and at most a draft that the next
publisher sweeps.
"""

import contextlib
import errno
import os
import secrets
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError
from shared.store import disk, drafts, lookup, manifests
from shared.store.catalog import KINDS, kind_of
from shared.store.drafts import Draft
from shared.store.lookup import Artifact
from shared.store.pointers import check_key, check_name, read_pointer, write_pointer

__all__ = ["Artifact", "Draft", "Store"]

_SMALLEST_BYTES = 1 << 16  # folders, manifest and pointers of an artifact, without its files


class Store:
    """A folder of artifacts, shared by any number of processes."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.drafts = self.root / ".drafts"

    @contextlib.contextmanager
    def draft(
        self,
        kind: str,
        *,
        config: dict[str, Any],
        parents: dict[str, str],
        name: str | None = None,
        key: str | None = None,
        schema: int | None = None,
    ) -> Iterator[Draft]:
        """Open a draft; publish it when the block ends, remove it when the block raises.

        Publishing what is already there changes nothing but the name and the key. `parents` maps roles to
        digests; `key` records which step, with which inputs and code, made this (see `find_key`).

        Raises:
            ArtifactError: an unknown kind, a parent that is not in the store, a missing or a reserved file, a
                full disk.
            ConfigError: a config that is not plain JSON, or a bad name.
        """
        row = kind_of(kind)
        described = manifests.plain_config(config)
        if name is not None:
            check_name(name)
        if key is not None:
            check_key(key)
        started = time.monotonic()
        with self.staging(kind, parents) as path:
            draft = Draft(kind, path, self.root)
            with draft.full_disk_explained():
                yield draft
                written_as = row.schema if schema is None else schema
                manifest = manifests.seal(path, kind, written_as, described, dict(parents), row.required)
                spent = time.monotonic() - started if draft.cost_seconds is None else draft.cost_seconds
                manifest["origin"] |= manifests.origin(spent, draft.cost_flops)
                draft.finish(self.publish(path, manifest, name=name, key=key))

    @contextlib.contextmanager
    def staging(self, label: str, parents: dict[str, str]) -> Iterator[Path]:
        """A folder for unfinished files, on the store's file system; gc spares it and what it comes from."""
        with contextlib.ExitStack() as stack:
            try:
                disk.make_directory(self.drafts)
                with disk.store_lock(self.root, exclusive=False):
                    drafts.sweep(self.drafts)
                    for role, digest in parents.items():
                        lookup.load_any(self.root, digest, wanted_by=f"the parent {role!r} of this {label}")
                    path = stack.enter_context(drafts.staging(self.drafts, label, parents))
            except OSError as error:
                if not disk.is_disk_full(error):
                    raise
                raise disk.disk_full_error(
                    self.root, doing=f"this {label}", wanted_bytes=_SMALLEST_BYTES, at_least=True
                ) from error
            yield path

    def publish(
        self, staged: Path, manifest: dict[str, Any], *, name: str | None = None, key: str | None = None
    ) -> Artifact:
        """Move a sealed folder of this store's drafts into place, then its name, then its key."""
        kind, digest = manifest["kind"], manifest["digest"]
        disk.write_json(staged / manifests.MANIFEST, manifest)
        for folder in sorted((path for path in staged.rglob("*") if path.is_dir()), reverse=True):
            disk.sync_directory(folder)
        disk.sync_directory(staged)
        with disk.store_lock(self.root, exclusive=False):
            target = self.root / kind / digest
            disk.make_directory(target.parent)
            if self._install(staged, target):
                manifests.remember(target, manifest, self.root)
            disk.sync_directory(target.parent)
            if name is not None:
                write_pointer(self.root / "names" / kind / f"{name}.json", kind, digest, drafts=self.drafts)
            if key is not None:
                write_pointer(self.root / "keys" / f"{key}.json", kind, digest, drafts=self.drafts)
            return lookup.load(self.root, kind, digest, name)

    def give_name(self, artifact: Artifact, name: str) -> None:
        """Point a name at an artifact that is already in the store.

        Raises:
            ConfigError: a name that is no file name everywhere.
        """
        pointer = self.root / "names" / artifact.kind / f"{check_name(name)}.json"
        with disk.store_lock(self.root, exclusive=False):
            write_pointer(pointer, artifact.kind, artifact.digest, drafts=self.drafts)

    def give_key(self, artifact: Artifact, key: str) -> None:
        """Record which step made an artifact that is already in the store: for a step that publishes several."""
        with disk.store_lock(self.root, exclusive=False):
            pointer = self.root / "keys" / f"{check_key(key)}.json"
            write_pointer(pointer, artifact.kind, artifact.digest, drafts=self.drafts)

    def _install(self, staged: Path, target: Path) -> bool:
        """Rename the draft into place; False when the same, whole, is there. A damaged one is replaced."""
        while True:
            try:
                os.rename(staged, target)
                return True
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            try:
                manifests.verify(target, manifests.read(target, target.parent.name), self.root)
                return False
            except ArtifactError as damage:
                warnings.warn(f"replacing a damaged artifact: {damage}", stacklevel=2)
                aside = self.drafts / f"damaged-{secrets.token_hex(4)}"
                with contextlib.suppress(FileNotFoundError):  # another publisher was faster
                    os.rename(target, aside)
                disk.remove_tree(aside)

    def open(self, ref: str, kind: str | None = None, *, verify: bool = True) -> Artifact:
        """The artifact that a name, a digest or a unique beginning of a digest (6 characters or more) means.

        Every file's SHA-256 is checked, once per inode, size and time; `verify=False` is for all ranks but 0.

        Raises:
            ArtifactError: nothing, or more than one thing, has that name; a file is missing, truncated or
                changed; the artifact was written in another schema. The message names the file and the
                command that mends it.
        """
        if kind is not None:
            kind_of(kind)
        artifact = lookup.load(self.root, *lookup.resolve(self.root, str(ref), kind))
        row = kind_of(artifact.kind)
        if artifact.manifest["schema"] != row.schema:
            raise ArtifactError(
                f"{artifact} was written in schema {artifact.manifest['schema']} of {artifact.kind}, and "
                f"this code reads schema {row.schema}. Make it again with this code ({row.made_by}), or read "
                f"it with the code that made it (version {artifact.origin.get('code_version')})."
            )
        if verify:
            manifests.verify(artifact.path, artifact.manifest, self.root, label=str(artifact))
        return artifact

    def find_key(self, key: str) -> Artifact | None:
        """What the step with this key published, if it is here and whole; a damaged one causes a warning."""
        try:
            target = read_pointer(self.root / "keys" / f"{check_key(key)}.json")
            if target is None or not self.root.joinpath(*target).is_dir():
                return None
            kind, digest = target
            return self.open(digest, kind)
        except ArtifactError as damage:
            warnings.warn(f"the step will run again: {damage}", stacklevel=2)
            return None

    def names(self, kind: str) -> dict[str, str]:
        """Every name of a kind, with the digest it points at."""
        return lookup.names_of(self.root, kind)

    def list(self, kind: str | None = None) -> Sequence[Artifact]:
        """All artifacts (of one kind), oldest first; an unreadable manifest is named in a warning."""
        found, names = [], lookup.NamesByDigest(self.root)
        for one in KINDS if kind is None else [kind]:
            for digest in lookup.digests_of(self.root, one):
                try:
                    found.append(lookup.load(self.root, one, digest, names.first(one, digest)))
                except ArtifactError as damage:
                    warnings.warn(str(damage), stacklevel=2)
        return sorted(found, key=lambda artifact: (artifact.origin.get("created", ""), artifact.digest))

    def lineage(self, artifact: Artifact) -> Sequence[Artifact]:
        """All ancestors, nearest first, each once; without the artifact itself.

        Raises:
            ArtifactError: an ancestor is not in the store, or its manifest is damaged.
        """
        found: dict[str, Artifact] = {}
        names, waiting = lookup.NamesByDigest(self.root), deque([artifact])
        while waiting:
            child = waiting.popleft()
            for role, digest in sorted(child.parents.items()):
                if digest not in found:
                    found[digest] = lookup.load_any(
                        self.root, digest, wanted_by=f"the {role} of {child}", names=names
                    )
                    waiting.append(found[digest])
        return [*found.values()]
