"""One artifact with its whole lineage in one `.tar` file, and the way back into another store.

An archive comes from elsewhere, so nothing in it is believed: an entry must be a plain file whose path is
`<Kind>/<digest>/<file>`, sizes must fit into the archive itself, and every digest is computed again before
anything is published. Parents are published before children, names last.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from shared.errors import ArtifactError
from shared.store import disk, lookup, manifests
from shared.store.artifacts import Artifact, Store
from shared.store.catalog import KINDS
from shared.store.manifests import MANIFEST, is_digest
from shared.store.pointers import check_name

_INDEX = "export.json"
_FORMAT = 1
_CHUNK_BYTES = 1 << 20
_LARGEST_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class Imported:
    """What an import brought."""

    artifact: Artifact
    lineage: list[Artifact]
    names_kept: list[str]  # names of the lineage that mean something else here, and still do


def export_archive(store: Store, artifact: Artifact, out: Path) -> int:
    """Write an artifact and its lineage into one tar file; returns its size in bytes.

    The same artifact gives the same bytes but for `origin`; the file appears when it is complete.

    Raises:
        ArtifactError: something in the lineage is missing or damaged, or there is no room for the file.
    """
    members = [*reversed(store.lineage(artifact)), artifact]
    for member in members:
        manifests.verify(member.path, member.manifest, store.root, label=str(member))
    if not out.parent.is_dir():
        raise ArtifactError(f"there is no folder {out.parent} to write {out.name} into; create it first")
    names = {member.digest: member.name_hint for member in members if member.name_hint}
    index = {"format": _FORMAT, "kind": artifact.kind, "digest": artifact.digest, "names": names}
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                _add(tar, _INDEX, io.BytesIO(text := json.dumps(index, sort_keys=True).encode()), len(text))
                for member in members:
                    for name in (MANIFEST, *sorted(member.files)):
                        path = member.path / name
                        with path.open("rb") as content:
                            _add(tar, f"{member.kind}/{member.digest}/{name}", content, path.stat().st_size)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, out)
        disk.sync_directory(out.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if disk.is_disk_full(error):
            wanted = sum(member.num_bytes for member in members)
            raise disk.disk_full_error(
                out.parent, doing="the export", wanted_bytes=wanted, at_least=False
            ) from error
        raise
    return out.stat().st_size


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], num_bytes: int) -> None:
    member = tarfile.TarInfo(name)  # time 0, nobody's: nothing of this machine
    member.size = num_bytes
    tar.addfile(member, content)


def import_archive(store: Store, path: Path, name: str | None = None) -> Imported:
    """Bring an exported artifact and its lineage into a store.

    The artifact takes `name`, or else the name it was exported under. Names of its lineage come along where
    they are free here.

    Raises:
        ArtifactError: the file is no such archive, is truncated or altered, tries to write outside the store,
            or the name is taken here by something else. Nothing is published then.
    """
    if not path.is_file():
        raise ArtifactError(
            f"there is no archive {path}. Make one: python -m shared.store.cli export REF FILE"
        )
    available = path.stat().st_size
    with store.staging("import", {}) as staged:
        try:
            index, members = _unpack(path, staged, available)
        except (tarfile.TarError, EOFError, UnicodeError) as error:
            raise ArtifactError(
                f"{path} is no whole archive of this store ({error}). Export and copy it again."
            ) from error
        except OSError as error:
            if not disk.is_disk_full(error):
                raise
            disk.remove_tree(staged)
            raise disk.disk_full_error(
                store.root, doing="this import", wanted_bytes=available, at_least=False
            ) from error
        with disk.store_lock(store.root, exclusive=False):  # over all of it: gc must not come between
            return _publish(store, path, staged, index, members, name)


def _unpack(path: Path, staged: Path, available: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    index: dict[str, Any] | None = None
    hashes: dict[tuple[str, str], dict[str, str]] = {}
    with tarfile.open(path, "r:") as tar:
        for member, content in _plain_files(path, tar, available, staged):
            if member.name == _INDEX:
                index = _read_index(path, content.read(_LARGEST_JSON_BYTES))
                continue
            kind, digest, name = _checked_name(path, member.name)
            files = hashes.setdefault((kind, digest), {})
            if name in files:
                raise _refused(path, f"has two entries called {member.name!r}")
            target = staged / kind / digest / name
            target.parent.mkdir(parents=True, exist_ok=True)
            files[name] = _copy(path, member, content, target)
    if index is None or (index["kind"], index["digest"]) not in hashes:
        raise _refused(path, f"holds no artifact of its index ({_INDEX})")
    for (kind, digest), files in hashes.items():
        _check_artifact(path, staged / kind / digest, kind, files)
    return index, [*hashes]


def _plain_files(
    path: Path, tar: tarfile.TarFile, available: int, staged: Path
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    total = 0
    for member in tar:
        if not member.isreg() or member.issparse():
            raise _refused(path, f"has an entry that is no plain file: {member.name!r}")
        total += member.size
        if member.size < 0 or total > available:
            raise _refused(
                path, f"claims {total} bytes at {member.name!r}, but is itself {available} bytes long"
            )
        if member.size > shutil.disk_usage(staged).free:
            raise OSError(28, "No space left on device")
        content = tar.extractfile(member)
        assert content is not None, "a plain file has content"
        yield member, content


def _checked_name(path: Path, name: str) -> tuple[str, str, str]:
    parts = PurePosixPath(name).parts
    is_plain = (
        "\\" not in name and "\0" not in name and str(PurePosixPath(name)) == name and ".." not in parts
    )
    if not is_plain or len(parts) < 3 or parts[0] not in KINDS or not is_digest(parts[1]):
        raise _refused(path, f"has an entry outside of <Kind>/<digest>/<file>: {name!r}")
    return parts[0], parts[1], "/".join(parts[2:])


def _read_index(path: Path, text: bytes) -> dict[str, Any]:
    try:
        index = json.loads(text)
        found = index["format"]
        texts = [index["kind"], index["digest"], *index["names"].keys(), *index["names"].values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(path, f"has an index ({_INDEX}) that cannot be read: {error!r}") from error
    if found != _FORMAT:
        raise _refused(path, f"is of format {found}; this code reads format {_FORMAT}")
    if not all(isinstance(text, str) for text in texts):
        raise _refused(path, f"has an index ({_INDEX}) whose kind, digest and names are not all texts")
    return index


def _copy(path: Path, member: tarfile.TarInfo, content: IO[bytes], target: Path) -> str:
    digest = hashlib.sha256()
    written = 0
    with target.open("xb") as file:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
            written += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    if written != member.size:
        raise _refused(path, f"ends inside {member.name!r}: {written} of {member.size} bytes")
    return digest.hexdigest()


def _check_artifact(path: Path, folder: Path, kind: str, hashes: dict[str, str]) -> None:
    if MANIFEST not in hashes or (folder / MANIFEST).stat().st_size > _LARGEST_JSON_BYTES:
        raise _refused(path, f"has no manifest for {kind} {folder.name}")
    try:
        wanted = {
            name: entry["sha256"] for name, entry in manifests.all_files(manifests.read(folder, kind)).items()
        }
    except ArtifactError as error:
        raise _refused(path, f"has an altered manifest: {kind}/{folder.name}/{MANIFEST}") from error
    found = {name: digest for name, digest in hashes.items() if name != MANIFEST}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise _refused(path, f"has files that differ from their manifest: {kind}/{folder.name}/{wrong[0]}")
    for name in wanted:
        (folder / name).chmod(0o444)


def _publish(
    store: Store,
    path: Path,
    staged: Path,
    index: dict[str, Any],
    members: list[tuple[str, str]],
    name: str | None,
) -> Imported:
    kinds = {digest: kind for kind, digest in members}
    waiting = {digest: manifests.read(staged / kind / digest, kind) for digest, kind in kinds.items()}
    root: str = index["digest"]
    kind: str = index["kind"]
    names = {digest: check_name(one) for digest, one in index["names"].items() if digest in kinds}
    wanted = check_name(name) if name is not None else names.get(root)
    if wanted is not None:
        names[root] = wanted
        taken = lookup.digest_named(store.root, kind, wanted)
        if taken not in (None, root):
            raise ArtifactError(
                f"the name {wanted!r} already points at another {kind} in {store.root} "
                f"({taken[: manifests.SHOWN_DIGITS]}). Import under another: --name=NAME"
            )
    for manifest in waiting.values():
        for role, parent in manifest["parents"].items():
            if parent not in kinds:
                lookup.load_any(store.root, parent, wanted_by=f"the {role} of {manifest['kind']} in {path}")
    published: dict[str, Artifact] = {}
    kept = []
    while waiting:  # digests cannot form a circle, so each round finds some
        for digest, manifest in [*waiting.items()]:
            if any(parent in waiting for parent in manifest["parents"].values()):
                continue
            own = names.get(digest)
            if own is not None and lookup.digest_named(store.root, kinds[digest], own) not in (None, digest):
                kept.append(own)
                own = None
            published[digest] = store.publish(staged / kinds[digest] / digest, manifest, name=own)
            del waiting[digest]
    return Imported(published.pop(root), [*published.values()], kept)


def _refused(path: Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"the archive {path} {what}. Nothing was imported. Export it again where it came from "
        "(python -m shared.store.cli export REF FILE) and copy that file."
    )
