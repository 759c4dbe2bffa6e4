"""What an artifact is to its reader, and how a name, a digest or a digest's beginning finds it."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError
from shared.store import manifests
from shared.store.catalog import KINDS
from shared.store.manifests import SHOWN_DIGITS
from shared.store.pointers import is_name, read_names, read_pointer

_SHORTEST_PREFIX = 6


@dataclass(frozen=True)
class Artifact:
    """One published artifact. Two with the same digest are the same, wherever they lie."""

    kind: str
    digest: str
    path: Path = field(compare=False)
    manifest: dict[str, Any] = field(compare=False, repr=False)
    name_hint: str | None = field(
        default=None, compare=False
    )  # the name it was opened by, or one that it has

    @property
    def config(self) -> dict[str, Any]:
        return self.manifest["config"]

    @property
    def parents(self) -> dict[str, str]:
        """Role to digest, such as {"tokenizer": "3f2a…"}."""
        return self.manifest["parents"]

    @property
    def origin(self) -> dict[str, Any]:
        """Who made it, when and at what cost: outside the digest."""
        return self.manifest["origin"]

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """Relative path to {sha256, bytes}, of the measured files too."""
        return manifests.all_files(self.manifest)

    @property
    def num_bytes(self) -> int:
        return sum(entry["bytes"] for entry in self.files.values())

    def file(self, name: str) -> Path:
        """The path of one of its files.

        Raises:
            ArtifactError: the manifest lists no such file.
        """
        if name not in self.manifest["files"] and name not in self.files:  # the first spares a copy of all
            raise ArtifactError(f"{self} has no file {name!r}; it has: {', '.join(sorted(self.files))}")
        return self.path / name

    def __str__(self) -> str:
        shown = self.digest[:SHOWN_DIGITS]
        return f"{self.kind} '{self.name_hint}' ({shown})" if self.name_hint else f"{self.kind} {shown}"


def names_of(root: Path, kind: str) -> dict[str, str]:
    """Every name of a kind, with the digest it points at."""
    return read_names(root / "names" / kind)


def digest_named(root: Path, kind: str, name: str) -> str | None:
    """What a name points at, if a kind has it: one file is read, however many names there are."""
    target = read_pointer(root / "names" / kind / f"{name}.json") if is_name(name) else None
    return None if target is None else target[1]


class NamesByDigest:
    """The names of artifacts, read once for each kind: for one operation over many, since names move."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_kind: dict[str, dict[str, list[str]]] = {}

    def of(self, kind: str, digest: str) -> Sequence[str]:
        """All names of an artifact, sorted."""
        if kind not in self._by_kind:
            names: dict[str, list[str]] = {}
            for name, target in names_of(self._root, kind).items():
                names.setdefault(target, []).append(name)
            self._by_kind[kind] = names
        return self._by_kind[kind].get(digest, [])

    def first(self, kind: str, digest: str) -> str | None:
        """A name to call it by, if it has one."""
        return next(iter(self.of(kind, digest)), None)


def digests_of(root: Path, kind: str) -> Sequence[str]:
    """Every digest of a kind, sorted."""
    folder = root / kind
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def load(root: Path, kind: str, digest: str, name: str | None = None) -> Artifact:
    """An artifact whose manifest is checked and whose files are not.

    Raises:
        ArtifactError: it is not there, or its manifest is damaged.
    """
    path = root / kind / digest
    return Artifact(kind, digest, path, manifests.read(path, kind), name)


def load_any(root: Path, digest: str, *, wanted_by: str, names: NamesByDigest | None = None) -> Artifact:
    """`load` by a full digest alone; without `names` the artifact does not know its own.

    Raises:
        ArtifactError: no kind has it; `wanted_by` says who asked.
    """
    for kind in KINDS:
        if manifests.is_digest(digest) and (root / kind / digest).is_dir():
            return load(root, kind, digest, names.first(kind, digest) if names else None)
    raise ArtifactError(
        f"{wanted_by} is {digest!r}, which is no digest in the store {root}. Parents are given by their full "
        "digest (artifact.digest); an artifact from elsewhere comes with its lineage by "
        "python -m shared.store.cli import FILE"
    )


def resolve(root: Path, ref: str, kind: str | None) -> tuple[str, str, str | None]:
    """The kind, the digest and, if it has one, the name that a reference means. A name wins over a digest.

    Raises:
        ArtifactError: it means nothing, or more than one thing; names the nearest and the command that makes
            it.
    """
    kinds = [kind] if kind else [*KINDS]
    named = {one: digest for one in kinds if (digest := digest_named(root, one, ref)) is not None}
    if len(named) > 1:
        raise ArtifactError(f"{ref!r} names {len(named)} artifacts; say which kind: {', '.join(named)}")
    for one, digest in named.items():
        if not (root / one / digest).is_dir():
            raise ArtifactError(
                f"the name {ref!r} points at {one} {digest[:SHOWN_DIGITS]}, which is gone from {root}. "
                f"Make it again: {KINDS[one].made_by.replace('NAME', ref)}"
            )
        return one, digest, ref
    if not re.fullmatch(rf"[0-9a-f]{{{_SHORTEST_PREFIX},64}}", ref):
        raise _not_found(root, ref, kind)
    found = [(one, digest) for one in kinds for digest in digests_of(root, one) if digest.startswith(ref)]
    if not found:
        raise _not_found(root, ref, kind)
    if len(found) > 1:
        listed = ", ".join(f"{one} {digest[: len(ref) + 6]}" for one, digest in found)
        raise ArtifactError(f"the digest prefix {ref!r} is not unique: {listed}. Give more characters.")
    [(one, digest)] = found
    return one, digest, NamesByDigest(root).first(one, digest)


def _not_found(root: Path, ref: str, kind: str | None) -> ArtifactError:
    names = [*names_of(root, kind)] if kind else [name for one in KINDS for name in names_of(root, one)]
    near = difflib.get_close_matches(ref, names, n=5, cutoff=0.4) or names[:5]
    there = f"the nearest names are: {', '.join(near)}" if near else "it has no names of that kind yet"
    mend = "See all: python -m shared.store.cli list"
    if kind:
        mend = f"Make it: {KINDS[kind].made_by.replace('NAME', ref)}"
    return ArtifactError(f"no {kind or 'artifact'} called {ref!r} in the store {root}; {there}. {mend}")
