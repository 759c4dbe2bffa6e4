"""Which files a source of the catalog stands for: itself, those of a repository on the Hub, or of a list of paths.

A listing is asked for once. What it said (addresses of one fixed revision, sizes, digests) is pinned beside the data,
so that fetching goes on later with the same files, whatever their publishers do meanwhile.
"""

import fnmatch
import json
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from shared.corpora.catalog import Dataset, Source
from shared.corpora.download import Refused, Unreachable, open_url
from shared.errors import ConfigError, DataError

HUB = "https://huggingface.co"
LONGEST_LISTING_BYTES = 64 << 20
LONGEST_NAME = 200
OUR_ENDINGS = (".part", ".part.json", ".copy", ".unpacked", ".tmp")  # of what lies beside the files


@dataclass(frozen=True)
class RemoteFile:
    """One file: where it is, what it is called here, and what is known of it."""

    url: str
    name: str
    split: str = ""
    bytes: int = 0  # exact, or 0: unknown
    sha256: str = ""  # empty: unknown
    unpack: str = ""
    about_unpacked_bytes: int = 0


def remote_files(row: Dataset, at_most: int = 0) -> list[RemoteFile]:
    """The files of a data set, in order; `at_most` of each list of paths, where the catalog's number does not suit.

    Raises:
        Unreachable, DataError: a listing cannot be had, or names nothing that fits.
        ConfigError: two files would have one name, or one has none.
    """
    files = []
    for source in row.files:
        if source.url:
            files.append(_single(source))
        elif source.hub:
            files += _of_the_hub(source)
        else:
            files += _of_paths(source, at_most or source.at_most)
    names = [file.name for file in files]
    for name in names:
        is_ours = name == "pins.json" or name.endswith(OUR_ENDINGS)
        if is_ours or not is_plain_name(name) or names.count(name) > 1:
            raise ConfigError(f"data set '{row.name}': {name!r} cannot be the name of one of its files")
    return files


def files_put_by_hand(row: Dataset, folder: Path) -> list[RemoteFile]:
    """What lies in a folder of the files that a data set stands for; empty when a source has none there."""
    found = []
    for source in row.files:
        paths = sorted(path for path in folder.glob(pattern_of(source)) if path.is_file())
        if not paths:
            return []
        names = [path.relative_to(folder).as_posix() for path in paths]
        found += [_single(source) if source.url else RemoteFile("", name, source.split) for name in names]
    return found


def pattern_of(source: Source) -> str:
    """The names of a source's files here, as a shell's pattern."""
    return source.pattern or (_single(source).name if source.url else "*.gz")


def is_plain_name(name: str) -> bool:
    """Whether a name that came from elsewhere can only mean a file in the folder that it is put in.

    >>> [is_plain_name(name) for name in ("a/b.txt", "../a", "/a", "a\\\\b", ".lock", "a//b", "")]
    [True, False, False, False, False, False, False]
    """
    parts = name.split("/")
    plain = all(part and not part.startswith(".") and part.isprintable() for part in parts)
    return plain and "\\" not in name and len(name) <= LONGEST_NAME


def _single(source: Source) -> RemoteFile:
    name = source.name or PurePosixPath(unquote(urlsplit(source.url).path)).name
    known = {"split": source.split, "bytes": source.bytes, "sha256": source.sha256}
    unpacked = {"unpack": source.unpack, "about_unpacked_bytes": source.about_unpacked_bytes}
    return RemoteFile(source.url, name, **known, **unpacked)


def _of_the_hub(source: Source) -> list[RemoteFile]:
    """The files that match the pattern, at the commit that the revision means now."""
    address = f"{HUB}/api/datasets/{source.hub}/revision/{quote(source.revision, safe='')}?blobs=true"
    try:
        listing = json.loads(_text(address))
        commit, siblings = str(listing["sha"]), listing["siblings"]
        found = [
            _sibling(source, commit, row) for row in siblings if _matches(row["rfilename"], source.pattern)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{address} is not the listing of a repository: {error!r}") from error
    if not found:
        raise DataError(f"{address} lists {len(siblings):,} files, none like {source.pattern!r}")
    return sorted(found, key=lambda file: file.name)


def _sibling(source: Source, commit: str, row: dict[str, Any]) -> RemoteFile:
    path = str(row["rfilename"])
    large = row.get("lfs") or {}  # small files have no SHA-256 there
    url = f"{HUB}/datasets/{source.hub}/resolve/{commit}/{quote(path)}"
    size = int(row.get("size") or large.get("size") or 0)
    return RemoteFile(url, path, source.split, size, str(large.get("sha256", "")))


def _of_paths(source: Source, at_most: int) -> list[RemoteFile]:
    """The first paths of a list, each below the source's base."""
    paths = [line.strip() for line in _text(source.paths).splitlines() if line.strip()]
    if not paths:
        raise DataError(f"{source.paths} lists no paths")
    chosen = paths[: at_most or None]
    return [RemoteFile(source.base + quote(path), PurePosixPath(path).name, source.split) for path in chosen]


def _matches(path: str, pattern: str) -> bool:
    """Like a shell's pattern: a star stays within its folder."""
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def _text(url: str) -> str:
    """A short text; gunzipped when its name says so."""
    try:
        with open_url(urllib.request.Request(url, headers={"User-Agent": "lm"})) as answer:
            raw = answer.read(LONGEST_LISTING_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise Refused(f"{url}: the server answered {error.code} {error.reason}") from error
    except OSError as error:
        raise Unreachable(f"{url}: no connection ({getattr(error, 'reason', error)})") from error
    try:
        if url.endswith(".gz"):
            raw = zlib.decompressobj(wbits=31).decompress(raw, LONGEST_LISTING_BYTES + 1)
        if len(raw) > LONGEST_LISTING_BYTES:
            raise DataError(f"{url} is longer than a listing should be ({LONGEST_LISTING_BYTES:,} bytes)")
        return raw.decode("utf-8")
    except (zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{url} is damaged: {error}") from error


def pinned_form(files: list[RemoteFile]) -> list[dict[str, Any]]:
    """As plain values, to be kept; `from_pinned` is the inverse."""
    return [vars(file) for file in files]


def from_pinned(rows: list[dict[str, Any]]) -> list[RemoteFile]:
    """The files that `pinned_form` wrote down."""
    return [replace(RemoteFile("", ""), **row) for row in rows]
