"""Shards: token ids as raw little-endian integers, ready to be mapped into memory.

A split is one stream of ids, in which each document is closed by the end-of-text id. Ids are bare integers:
which tokenizer minted them is known only by the artifact's parents, and `require_same_tokenizer` asks.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any

import numpy as np

from shared.errors import ArtifactError, DataError
from shared.store.artifacts import Artifact, Draft
from shared.store.disk import readable_bytes
from shared.store.kinds.corpus import check_split_name
from shared.store.manifests import SHOWN_DIGITS

DEFAULT_SHARD_TOKENS = 1 << 30
_LARGEST_COPY_BYTES = 8 << 30


@dataclass
class _Split:
    files: list[str] = field(default_factory=list)
    tokens: int = 0
    documents: int = 0
    text_bytes: int | None = 0  # None: the writer was not told
    last_id: int = -1
    room: int = 0  # tokens that still fit into the open file
    file: IO[bytes] | None = None


class ShardWriter:
    """Writes splits as streams; use it in a `with` block inside the draft's.

    with ShardWriter(draft, vocab_size=512, end_of_text_id=256) as writer:
        writer.write("train", [*tokenizer.encode(document), 256], num_bytes=len(document.encode()))
    """

    def __init__(
        self, draft: Draft, vocab_size: int, end_of_text_id: int, shard_tokens: int = DEFAULT_SHARD_TOKENS
    ) -> None:
        if not 0 <= end_of_text_id < vocab_size:
            raise ValueError(f"end_of_text_id={end_of_text_id} must lie in a vocabulary of {vocab_size}")
        if shard_tokens < 1:
            raise ValueError(f"shard_tokens={shard_tokens} must be at least 1")
        self._draft = draft
        self._vocab_size = vocab_size
        self._end_of_text_id = end_of_text_id
        self._shard_tokens = shard_tokens
        self._dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
        self._splits: dict[str, _Split] = {}
        self._open_files = ExitStack()

    def write(self, split: str, ids: Sequence[int] | np.ndarray, *, num_bytes: int | None = None) -> None:
        """Append ids to a split: a document, a part of one or many, each closed by the end-of-text id.

        `num_bytes` is the length of their text (without the marker); a split that was not told it for every
        write cannot say its bits per byte.

        Raises:
            DataError: an id outside the vocabulary.
        """
        state = self._splits.setdefault(check_split_name(split), _Split())
        array = np.asarray(ids)
        if not array.size:
            return
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(f"ids must be a sequence of integers, not {array.dtype} of shape {array.shape}")
        lowest, highest = int(array.min()), int(array.max())
        if lowest < 0 or highest >= self._vocab_size:
            wrong = lowest if lowest < 0 else highest
            raise DataError(
                f"token id {wrong} in split '{split}' lies outside the vocabulary of {self._vocab_size}: the "
                "ids come from another tokenizer than the vocabulary size"
            )
        state.tokens += array.size
        state.documents += int(np.count_nonzero(array == self._end_of_text_id))
        if num_bytes is None or state.text_bytes is None:
            state.text_bytes = None
        else:
            state.text_bytes += num_bytes
        state.last_id = int(array[-1])
        raw = array.astype(self._dtype)
        while raw.size:
            if not state.room:
                self._next_file(split, state)
            assert state.file is not None
            state.file.write(raw[: state.room].tobytes())
            written = min(state.room, raw.size)
            state.room -= written
            raw = raw[written:]

    def _next_file(self, split: str, state: _Split) -> None:
        if state.file is not None:
            state.file.close()
        name = f"{split}-{len(state.files):05d}.bin"
        state.files.append(name)
        state.file = self._open_files.enter_context((self._draft.path / name).open("wb", buffering=1 << 20))
        state.room = self._shard_tokens

    def close(self) -> None:
        """Finish the files and write `shards.json`.

        Raises:
            DataError: a split without tokens, or one whose last document is not closed by the end-of-text id.
        """
        self._open_files.close()
        for split, state in self._splits.items():
            if not state.tokens:
                raise DataError(f"split '{split}' has no tokens: its corpus is empty")
            if state.last_id != self._end_of_text_id:
                raise DataError(
                    f"split '{split}' ends with id {state.last_id}, but each document must be closed by the "
                    f"end-of-text id {self._end_of_text_id}"
                )
        if not self._splits:
            raise DataError("no split was written: the corpus is empty")
        rows = {
            split: {
                "files": state.files,
                "tokens": state.tokens,
                "documents": state.documents,
                "bytes": state.text_bytes,
            }
            for split, state in self._splits.items()
        }
        table = {
            "dtype": self._dtype.name,
            "vocab_size": self._vocab_size,
            "end_of_text_id": self._end_of_text_id,
            "splits": rows,
        }
        text = json.dumps(table, indent=1, sort_keys=True)
        (self._draft.path / "shards.json").write_text(text + "\n", encoding="utf-8")

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._open_files.close()


@dataclass(frozen=True)
class Shards:
    """Token ids of a corpus, split by split."""

    artifact: Artifact
    table: dict[str, Any]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.table["splits"])

    @property
    def vocab_size(self) -> int:
        return self.table["vocab_size"]

    @property
    def end_of_text_id(self) -> int:
        return self.table["end_of_text_id"]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.table["dtype"]).newbyteorder("<")

    def tokens(self, split: str, *, largest_copy_bytes: int = _LARGEST_COPY_BYTES) -> np.ndarray:
        """All ids of a split: mapped from its file, or copied into memory where there are several files.

        Raises:
            ArtifactError: no such split, or several files that are too large to copy.
        """
        files = [self.artifact.file(name) for name in self._row(split)["files"]]
        maps = [np.memmap(path, dtype=self.dtype, mode="r") for path in files]
        if len(maps) == 1:
            return maps[0]
        size = sum(part.nbytes for part in maps)
        if size > largest_copy_bytes:
            raise ArtifactError(
                f"split '{split}' of {self.artifact} is {readable_bytes(size)} in {len(maps)} files, more "
                f"than the {readable_bytes(largest_copy_bytes)} that are copied into memory. Encode the "
                "corpus again with a larger shard_tokens: one file is mapped, at any size."
            )
        return np.concatenate(maps)

    def num_tokens(self, split: str) -> int:
        return self._row(split)["tokens"]

    def num_documents(self, split: str) -> int:
        return self._row(split)["documents"]

    def num_bytes(self, split: str) -> int:
        """Bytes of the text that the split encodes, without document markers.

        Raises:
            ArtifactError: the program that wrote the shards did not say.
        """
        size = self._row(split)["bytes"]
        if size is None:
            raise ArtifactError(
                f"{self.artifact} does not know how many bytes of text its split '{split}' encodes, so bits "
                "per byte cannot be computed. Encode the corpus again with python -m a1_basics.run.encode"
            )
        return size

    def _row(self, split: str) -> dict[str, Any]:
        if split not in self.table["splits"]:
            raise ArtifactError(f"{self.artifact} has no split {split!r}; it has: {', '.join(self.splits)}")
        return self.table["splits"][split]


def read_shards(artifact: Artifact) -> Shards:
    """Open Shards for reading."""
    return Shards(artifact, json.loads(artifact.file("shards.json").read_text(encoding="utf-8")))


def require_same_tokenizer(checkpoint: Artifact, shards: Artifact) -> None:
    """Refuse to feed a model token ids that another tokenizer minted.

    Ids are bare integers: a mismatch raises nothing by itself and only shows as a poor loss. A Tokenizer
    itself may stand in either place.

    Raises:
        ArtifactError: the two artifacts descend from different tokenizers, or one does not say from which.
    """
    wanted, found = _tokenizer_digest(checkpoint), _tokenizer_digest(shards)
    if wanted != found:
        raise ArtifactError(
            f"{shards} holds ids of tokenizer {found[:SHOWN_DIGITS]}, but {checkpoint} was made with "
            f"tokenizer {wanted[:SHOWN_DIGITS]}. Encode the corpus again: python -m a1_basics.run.encode "
            f"--tokenizer={wanted[:SHOWN_DIGITS]} "
            f"--corpus={shards.parents.get('corpus', 'NAME')[:SHOWN_DIGITS]} --name=NAME"
        )


def _tokenizer_digest(artifact: Artifact) -> str:
    digest = artifact.digest if artifact.kind == "Tokenizer" else artifact.parents.get("tokenizer")
    if digest is None:
        raise ArtifactError(
            f"{artifact} does not say which tokenizer it was made with (no parent 'tokenizer')"
        )
    return digest
