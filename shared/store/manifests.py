"""Manifests: what an artifact is made of, the digest that names it, and the check that it is still so.

The digest covers kind, schema, files, config and parents, in one canonical JSON text. It does not cover
`origin` (host, time, cost, code version), so the same work gives the same digest on any machine and on any
day.
"""

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError, ConfigError
from shared.store import disk
from shared.store.catalog import KINDS

MANIFEST = "manifest.json"
MEASURED = "measured"  # the folder of files outside the digest
SHOWN_DIGITS = 12
CHECKOUT = Path(__file__).parent
_COVERED = ("kind", "schema", "files", "config", "parents")


def is_digest(text: str) -> bool:
    """Whether a text is a full digest."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def digest_of(manifest: dict[str, Any]) -> str:
    """The SHA-256 of the covered part of a manifest, in canonical JSON."""
    covered = {key: manifest[key] for key in _COVERED}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def all_files(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The covered files and the measured ones."""
    return {**manifest["files"], **manifest["origin"].get("files", {})}


def plain_config(config: dict[str, Any]) -> dict[str, Any]:
    """A config as it reads back from JSON.

    Raises:
        ConfigError: a value that JSON cannot hold, such as a Path, a NaN or a lone surrogate; names the
            field.
    """
    for key, value in config.items():
        try:
            json.dumps({key: value}, allow_nan=False, ensure_ascii=False).encode("utf-8")
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the config field {key!r} = {value!r} is not plain JSON: {error}") from error
    return json.loads(json.dumps(config))


def seal(
    folder: Path,
    kind: str,
    schema: int,
    config: dict[str, Any],
    parents: dict[str, str],
    required: tuple[str, ...],
) -> dict[str, Any]:
    """Hash, fsync and write-protect every file of a draft; returns its manifest.

    Raises:
        ArtifactError: a link or a special file, a file named manifest.json, or a required file that is
            missing.
    """
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtifactError(
                f"the draft's {name!r} is not a plain file; copy the content itself into the draft"
            )
        if path.is_file():
            disk.sync_file(path)
            files[name] = {"sha256": disk.sha256_of(path), "bytes": path.stat().st_size}
            path.chmod(0o444)
    if MANIFEST in files:
        raise ArtifactError(
            f"the draft has a file called {MANIFEST}, which the store writes itself: rename it"
        )
    missing = [name for name in required if name not in files]
    if missing:
        raise ArtifactError(
            f"a {kind} needs {', '.join(missing)}, and the draft has: {', '.join(files) or 'no files'}"
        )
    measured = {name: entry for name, entry in files.items() if name.startswith(f"{MEASURED}/")}
    manifest: dict[str, Any] = {
        "kind": kind,
        "schema": schema,
        "files": {name: entry for name, entry in files.items() if name not in measured},
        "config": config,
        "parents": parents,
        "origin": {"files": measured} if measured else {},
    }
    manifest["digest"] = digest_of(manifest)
    return manifest


def origin(cost_seconds: float, cost_flops: float | None) -> dict[str, Any]:
    """Who, when, and at what cost: outside the digest."""
    return {
        "code_version": code_version(),
        "host": platform.node(),
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "cost_seconds": round(cost_seconds, 3),
        "cost_flops": cost_flops,
    }


@functools.cache
def code_version() -> str:
    """The commit of this checkout, with "-dirty" when files differ from it; "unknown" outside git."""
    try:
        commit = _git("describe", "--always", "--abbrev=12", "--exclude=*")
        # Not `describe --dirty`: that locks the index whatever it is told, and killed it would leave the lock behind.
        is_dirty = _git("status", "--porcelain", "--untracked-files=no") != ""
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit}-dirty" if is_dirty else commit or "unknown"


def _git(*arguments: str) -> str:
    """What git says of this checkout, without a lock."""
    return subprocess.run(
        ["git", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout.strip()


def read(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of an artifact, after checking that it is the one its folder is named after.

    Raises:
        ArtifactError: the manifest is missing, torn or altered.
    """
    label, path = f"{kind} {folder.name[:SHOWN_DIGITS]}", folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        _check_shape(manifest)
        found = digest_of(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(
            label, path, f"cannot be read as a manifest ({type(error).__name__}: {error})", kind
        ) from error
    if found != folder.name or manifest.get("digest") != found or manifest["kind"] != kind:
        raise _damaged(
            label, path, f"describes {manifest['kind']} {found[:SHOWN_DIGITS]}: it was altered", kind
        )
    return manifest


def _check_shape(manifest: dict[str, Any]) -> None:
    for entry in all_files(manifest).values():
        if not (isinstance(entry["sha256"], str) and isinstance(entry["bytes"], int)):
            raise TypeError("a file's entry needs its sha256 and its bytes")
    if not all(isinstance(digest, str) for digest in manifest["parents"].values()):
        raise TypeError("parents must be digests")


def verify(
    folder: Path, manifest: dict[str, Any], root: Path, *, label: str = "", again: bool = False
) -> None:
    """Check that every file has the size and the SHA-256 of the manifest.

    A file that was found good is not hashed again while its inode, size and time stay the same (`again`
    hashes all).

    Raises:
        ArtifactError: a file is missing, truncated, longer, or has other content; the file is named.
    """
    kind = manifest["kind"]
    label = label or f"{kind} {manifest['digest'][:SHOWN_DIGITS]}"
    memory = _memory(root, manifest)
    known = {} if again else _read_memory(memory)
    good: dict[str, list[int]] = {}
    for name, entry in all_files(manifest).items():
        path = folder / name
        try:
            stat = path.lstat()
        except FileNotFoundError as error:
            raise _damaged(label, path, "is missing", kind) from error
        if stat.st_size != entry["bytes"]:
            how = "truncated" if stat.st_size < entry["bytes"] else "too long"
            raise _damaged(label, path, f"is {how}: {stat.st_size} bytes instead of {entry['bytes']}", kind)
        good[name] = [stat.st_ino, stat.st_size, stat.st_mtime_ns]
        if known.get(name) != good[name]:
            found = disk.sha256_of(path)
            if found != entry["sha256"]:
                wanted = entry["sha256"][:SHOWN_DIGITS]
                changed = f"has other content: its SHA-256 is {found[:SHOWN_DIGITS]}… instead of {wanted}…"
                raise _damaged(label, path, changed, kind)
    if good != known:
        _write_memory(memory, good)


def _damaged(label: str, path: Path, what: str, kind: str) -> ArtifactError:
    made_by = KINDS[kind].made_by if kind in KINDS else "the command that made it"
    return ArtifactError(
        f"{label} is damaged: its file {path} {what}. Make it again ({made_by}): publishing the same content "
        "replaces the damaged copy; or import it from another machine."
    )


def remember(folder: Path, manifest: dict[str, Any], root: Path) -> None:
    """Note that the files, hashed a moment ago by `seal`, are good as they lie now."""
    stats = {name: (folder / name).lstat() for name in all_files(manifest)}
    good = {name: [stat.st_ino, stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    _write_memory(_memory(root, manifest), good)


def _memory(root: Path, manifest: dict[str, Any]) -> Path:
    return root / ".verified" / f"{manifest['digest']}.json"


def _read_memory(path: Path) -> dict[str, list[int]]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}  # only a memory: without it the files are hashed again
    return known if isinstance(known, dict) else {}


def _write_memory(path: Path, good: dict[str, list[int]]) -> None:
    """Remember what was found good; a store that cannot be written to is simply verified each time."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        temporary.write_text(json.dumps(good), encoding="utf-8")
        os.replace(temporary, path)
