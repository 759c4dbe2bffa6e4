"""Names and keys: small files that point at an artifact, and the only things in a store that ever change.

A pointer is replaced atomically, so many processes may publish one name at once: each reader finds one of
theirs.
"""

import json
import re
from pathlib import Path

from shared.errors import ArtifactError, ConfigError
from shared.store import disk

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_name(text: str) -> bool:
    """Whether a text can name an artifact; then it is a file name everywhere, and no digest."""
    return _NAME.fullmatch(text) is not None and _DIGEST.fullmatch(text) is None


def check_name(name: str) -> str:
    """Refuse a name that is no file name everywhere, or that could be taken for a digest.

    Raises:
        ConfigError: the name is not fit.
    """
    if not is_name(name):
        raise ConfigError(
            f"{name!r} cannot name an artifact: use letters, digits, '.', '_' and '-', at most 100 in all, "
            "the first a letter or a digit, and not the 64 hex digits of a digest"
        )
    return name


def check_key(key: str) -> str:
    """Refuse a key that is no file name everywhere; a digest is a fine key.

    Raises:
        ConfigError: the key is not fit.
    """
    return key if _DIGEST.fullmatch(key) else check_name(key)


def write_pointer(pointer: Path, kind: str, digest: str, *, drafts: Path) -> None:
    """Point a name or a key at an artifact, from one moment to the next."""
    disk.replace_json(pointer, {"kind": kind, "digest": digest}, temporary_in=drafts)


def read_pointer(pointer: Path) -> tuple[str, str] | None:
    """The kind and digest a pointer file points at; None when there is no such file.

    Raises:
        ArtifactError: the file is damaged.
    """
    try:
        target = json.loads(pointer.read_text(encoding="utf-8"))
        kind, digest = target["kind"], target["digest"]
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no digest")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"the pointer file {pointer} is damaged ({error!r}). Remove it; the artifact itself is not "
            "touched. If it was a name, publish under that name again."
        ) from error
    return kind, digest


def read_names(folder: Path) -> dict[str, str]:
    """Every name in a folder of pointers, with the digest it points at."""
    found = {
        pointer.name.removesuffix(".json"): read_pointer(pointer) for pointer in sorted(folder.glob("*.json"))
    }
    return {name: target[1] for name, target in found.items() if target is not None}
