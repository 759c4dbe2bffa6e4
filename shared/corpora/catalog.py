"""The catalog of public data sets: what `catalog.toml` says, as checked values.

Nothing here touches the network: `sources` finds out which files there are, `download` brings them here, `fetch` is the
program.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.errors import ConfigError
from shared.runs.config import did_you_mean

CATALOG = Path(__file__).with_name("catalog.toml")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Source:
    """Where files come from: a URL, a repository on the Hub, or a list of paths."""

    url: str = ""
    hub: str = ""
    pattern: str = ""
    revision: str = "main"
    paths: str = ""
    base: str = ""
    at_most: int = 0  # files of a list of paths; 0: all
    name: str = ""
    split: str = ""
    bytes: int = 0  # exact, or 0: unknown
    sha256: str = ""  # empty: unknown
    about_bytes: int = 0  # of all files together; of each, for a list of paths
    about_unpacked_bytes: int = 0
    unpack: str = ""

    @property
    def size_bytes(self) -> int:
        """The best guess of what is to be fetched; 0 when nobody said."""
        return self.bytes or self.about_bytes * max(1, self.at_most)


@dataclass(frozen=True)
class Dataset:
    """A row of the catalog."""

    name: str
    title: str
    licence: str
    citation: str
    page: str
    becomes: str  # "Corpus" or "files"
    splits: str
    used_by: tuple[str, ...]
    stand_in: str
    files: tuple[Source, ...]
    field: str = ""
    document_start: str = ""
    val_every: int = 0
    gated: bool = False

    @property
    def size_bytes(self) -> int:
        """About what is to be fetched."""
        return sum(source.size_bytes for source in self.files)

    @property
    def text_bytes(self) -> int:
        """About what it takes on the disk once it is unpacked and plain text."""
        return sum(source.about_unpacked_bytes or source.size_bytes for source in self.files)


@cache
def catalog(path: Path = CATALOG) -> dict[str, Dataset]:
    """Every data set by its name.

    Raises:
        ConfigError: a row that says too little, too much or the impossible; the row is named.
    """
    with path.open("rb") as file:
        rows = tomllib.load(file)
    return {name: _dataset(name, row) for name, row in rows.items()}


def dataset(name: str, path: Path = CATALOG) -> Dataset:
    """The row called `name`.

    Raises:
        ConfigError: there is none; the nearest is named.
    """
    known = catalog(path)
    if name not in known:
        raise ConfigError(
            f"there is no data set {name!r}{did_you_mean(name, known)} Known: {', '.join(known)}."
        )
    return known[name]


def is_allowed(url: str) -> bool:
    """Whether a URL may be read: https, or plain http to this very machine (a local mirror).

    >>> [is_allowed(url) for url in ("https://a.org/x", "http://a.org/x", "http://127.0.0.1:8/x", "file:///x")]
    [True, False, True, False]
    """
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )


def _dataset(name: str, row: Mapping[str, Any]) -> Dataset:
    try:
        values = dict(row)
        files = tuple(Source(**source) for source in values.pop("files"))
        made = Dataset(name=name, files=files, **{**values, "used_by": tuple(values.get("used_by", ()))})
    except (TypeError, KeyError) as error:
        raise ConfigError(f"the catalog's row '{name}' is not complete or says too much: {error}") from error
    for wrong in _contradictions(made):
        raise ConfigError(f"the catalog's row '{name}': {wrong}")
    return made


def _contradictions(row: Dataset) -> list[str]:
    wrong = []
    if not _NAME.fullmatch(row.name):
        wrong.append(f"the name should match {_NAME.pattern}")
    if row.becomes not in ("Corpus", "files"):
        wrong.append(f"becomes={row.becomes!r} is neither 'Corpus' nor 'files'")
    splits = [source.split for source in row.files]
    if row.becomes == "Corpus" and any(splits) and not all(splits):
        wrong.append("either every source has a split or none")
    if row.becomes == "Corpus" and any(splits) and row.val_every:
        wrong.append("val_every would part what its publishers have parted")
    for source in row.files:
        if sum(map(bool, (source.url, source.hub, source.paths))) != 1:
            wrong.append("a source is one of url, hub and paths")
        if (source.hub and not source.pattern) or (source.paths and not source.base):
            wrong.append("hub wants a pattern, paths wants a base")
        if source.sha256 and not (source.url and _SHA256.fullmatch(source.sha256)):
            wrong.append("sha256 belongs to a url, and is 64 hexadecimal digits")
        if source.unpack not in ("", "tar", "zip"):
            wrong.append(f"unpack={source.unpack!r} is neither 'tar' nor 'zip'")
        if source.unpack and not source.about_unpacked_bytes:
            wrong.append("unpack wants about_unpacked_bytes, the limit on what an archive may hold")
        wrong += [
            f"{url} is not https" for url in (source.url, source.paths, source.base, row.page)
            if url and not is_allowed(url)
        ]  # fmt: skip
    return wrong
