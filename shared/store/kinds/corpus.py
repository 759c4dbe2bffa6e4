"""Corpus: text as documents, a file per split, each document followed by the end-of-text marker.

A split may know the exact negative log-probability of each of its documents (the story world does). Their sum
over the bytes of text is the entropy floor in bits per byte: what no model of that distribution can beat on
average.
"""

import json
import math
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.errors import ArtifactError, DataError
from shared.store.artifacts import Artifact, Draft

DOCUMENT_END = "<|endoftext|>"
_END = DOCUMENT_END.encode()
_CHUNK_BYTES = 1 << 20
_SPLIT = re.compile(r"[a-z][a-z0-9_]{0,40}")


def check_split_name(split: str) -> str:
    """A split's name becomes a file name: lower-case letters, digits and '_'.

    Raises:
        ValueError: it is something else.
    """
    if not _SPLIT.fullmatch(split):
        raise ValueError(f"split name {split!r} must match {_SPLIT.pattern}")
    return split


def write_corpus(draft: Draft, splits: dict[str, Iterable[str] | Iterable[tuple[str, float]]]) -> None:
    """Write each split as a stream of documents, or of (document, nats) pairs.

    Raises:
        DataError: a split without documents, a document that holds the end-of-text marker or cannot be UTF-8,
            nats that are not finite or are given for some documents only. Split and document number are
            named.
    """
    table = {}
    for split, documents in splits.items():
        path = draft.path / f"{check_split_name(split)}.txt"
        table[split], nats = _write_split(path, split, documents)
        if nats:
            with (draft.path / f"{split}.nats.npy").open("wb") as file:
                np.lib.format.write_array(file, np.frombuffer(nats, dtype="<f8"), allow_pickle=False)
    text = json.dumps({"splits": table}, indent=1, sort_keys=True)
    (draft.path / "corpus.json").write_text(text + "\n", encoding="utf-8")


def _write_split(
    path: Path, split: str, documents: Iterable[str] | Iterable[tuple[str, float]]
) -> "tuple[dict[str, int | float | None], array[float]]":
    nats: array[float] = array("d")
    num_documents = num_bytes = 0
    with path.open("wb", buffering=_CHUNK_BYTES) as file:
        for item in documents:
            text, document_nats = (item, None) if isinstance(item, str) else item
            try:
                raw = text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise DataError(
                    f"document {num_documents} of split '{split}' is no valid Unicode: {error}"
                ) from error
            if _END in raw:
                raise DataError(
                    f"document {num_documents} of split '{split}' contains the marker {DOCUMENT_END} at byte "
                    f"{raw.index(_END)}, which would cut it in two. Split the text there first, or take the "
                    "marker out."
                )
            if document_nats is not None:
                if not (math.isfinite(document_nats) and document_nats >= 0):
                    raise DataError(
                        f"document {num_documents} of split '{split}' has a negative log-probability of "
                        f"{document_nats} nats; it must be finite and at least 0"
                    )
                nats.append(document_nats)
            file.write(raw)
            file.write(_END)
            num_documents += 1
            num_bytes += len(raw)
    if not num_documents:
        raise DataError(
            f"split '{split}' of the corpus has no documents: give more text, or leave that split out"
        )
    if nats and len(nats) != num_documents:
        raise DataError(
            f"split '{split}' has nats for {len(nats)} of its {num_documents} documents; its entropy is "
            "known only when all have them"
        )
    row: dict[str, int | float | None] = {"documents": num_documents, "bytes": num_bytes}
    row["nats"] = math.fsum(nats) if nats else None
    return row, nats


@dataclass(frozen=True)
class CorpusReader:
    """A Corpus, read as a stream."""

    artifact: Artifact
    table: dict[str, dict[str, int | float | None]]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.table)

    def path(self, split: str) -> Path:
        """The split's text file, markers included."""
        self._row(split)
        return self.artifact.file(f"{split}.txt")

    def num_documents(self, split: str) -> int:
        return int(self._row(split)["documents"] or 0)

    def num_bytes(self, split: str) -> int:
        """Bytes of text, without the markers between documents."""
        return int(self._row(split)["bytes"] or 0)

    def documents(self, split: str) -> Iterator[str]:
        """The documents in order; memory grows with the longest document, not with the corpus."""
        pieces: list[bytes] = []  # of the document being read; the last one may hold half a marker
        with self.path(split).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                if pieces:
                    chunk = pieces.pop() + chunk
                *whole, rest = chunk.split(_END)
                for raw in whole:
                    yield b"".join((*pieces, raw)).decode("utf-8")
                    pieces.clear()
                keep = len(_END) - 1
                pieces += [rest[:-keep], rest[-keep:]] if len(rest) > keep else [rest]
        if any(pieces):
            raise ArtifactError(
                f"{self.path(split)} does not end with {DOCUMENT_END}: it was written by other means"
            )

    def nats(self, split: str) -> np.ndarray | None:
        """The exact negative log-probability of each document, where the generator knows it."""
        if self._row(split)["nats"] is None:
            return None
        return np.load(self.artifact.file(f"{split}.nats.npy"), allow_pickle=False)

    def floor_bits_per_byte(self, split: str) -> float | None:
        """The entropy of the split's text: total nats over ln 2 and over its bytes; None where unknown."""
        row = self._row(split)
        return None if row["nats"] is None else row["nats"] / math.log(2) / self.num_bytes(split)

    def _row(self, split: str) -> dict[str, int | float | None]:
        if split not in self.table:
            raise ArtifactError(f"{self.artifact} has no split {split!r}; it has: {', '.join(self.table)}")
        return self.table[split]


def read_corpus(artifact: Artifact) -> CorpusReader:
    """Open a Corpus for reading."""
    table = json.loads(artifact.file("corpus.json").read_text(encoding="utf-8"))["splits"]
    return CorpusReader(artifact, table)
