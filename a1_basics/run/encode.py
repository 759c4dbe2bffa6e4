"""Encode every split of a Corpus into Shards: token ids, each document closed by the end-of-text token.

Processes read parts of the files for themselves and send back ids, which are written in order: neither text nor all
ids of a split are ever held at once.
"""

import dataclasses
import mmap
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from a1_basics.configs import ENCODE, Encode
from shared.doors.protocols import TokenizerLike
from shared.doors.resolve import door, source_roots
from shared.doors.tokenizers import open_tokenizer
from shared.errors import ArtifactError
from shared.runs.parallel import available_cores, map_in_order
from shared.runs.program import run_program
from shared.runs.progress import progress
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import DOCUMENT_END, ShardWriter, read_corpus, read_shards, read_tokenizer

INPUTS = {"corpus": "Corpus", "tokenizer": "Tokenizer"}
OUTPUTS = {"shards": "Shards"}

MARKER = DOCUMENT_END.encode("utf-8")
PART_BYTES = 1 << 20  # workers read parts of about this size for themselves
PARALLEL_FROM_BYTES = 4 << 20  # below, starting workers costs more than they save


def main(config: Encode) -> None:
    """Publish the Shards `config.name`."""
    store = Store(config.store)
    corpus = read_corpus(store.open(config.corpus, "Corpus"))
    files = read_tokenizer(tokenizer := store.open(config.tokenizer, "Tokenizer"))
    inputs = {"corpus": corpus.artifact.digest, "tokenizer": tokenizer.digest}
    config = dataclasses.replace(config, **inputs)
    key = step_key("a1_basics.run.encode", config, inputs, source_roots("a1_basics", config.impl))
    if already_made(store, key, config.name):
        return
    encoder = open_tokenizer(door("a1_basics", config.impl), files)
    encode_part = PartEncoder(encoder, files.end_of_text_id)
    total_bytes = sum(corpus.num_bytes(split) for split in corpus.splits)
    num_workers = (config.num_workers or available_cores()) if total_bytes >= PARALLEL_FROM_BYTES else 1
    with (
        store.draft("Shards", config=recorded(config), parents=inputs, name=config.name, key=key) as draft,
        ShardWriter(draft, len(files.vocab), files.end_of_text_id) as writer,
        progress(total_bytes, f"encode {config.name}", "bytes") as bar,
    ):
        for split in corpus.splits:
            for ids, num_bytes in map_in_order(encode_part, parts(corpus.path(split)), num_workers):
                writer.write(split, ids, num_bytes=num_bytes)
                bar.advance(num_bytes)
    shards = read_shards(draft.artifact)
    for split in shards.splits:
        ratio = shards.num_bytes(split) / shards.num_tokens(split)
        print(f"{split}: {shards.num_tokens(split):,} tokens, {ratio:.2f} bytes per token")
    print(draft.artifact)


@dataclass(frozen=True)
class FilePart:
    """Bytes of a corpus file that hold whole documents, each with the marker that closes it."""

    path: Path
    start: int
    end: int


def parts(path: Path, part_bytes: int = PART_BYTES) -> Iterator[FilePart]:
    """A corpus file in parts of about `part_bytes`. The file is searched in place: nothing of it is copied."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = 0
        while start < len(content):
            marker = content.find(MARKER, start + part_bytes)
            end = len(content) if marker < 0 else marker + len(MARKER)
            yield FilePart(path, start, end)
            start = end


class PartEncoder:
    """Encodes a part of a file, in whatever process it finds itself: one array of ids, and the bytes of text."""

    def __init__(self, tokenizer: TokenizerLike, end_of_text_id: int) -> None:
        self.tokenizer, self.end_of_text_id = tokenizer, end_of_text_id

    def __call__(self, part: FilePart) -> tuple[np.ndarray, int]:
        with part.path.open("rb") as file:
            file.seek(part.start)
            data = file.read(part.end - part.start)
        *documents, rest = data.decode("utf-8").split(DOCUMENT_END)
        if rest:
            raise ArtifactError(
                f"{part.path} does not end with {DOCUMENT_END}: it was written by other means"
            )
        num_bytes = len(data) - len(MARKER) * len(documents)
        if hasattr(self.tokenizer, "encode_batch"):  # all documents in one call
            ids, ends = self.tokenizer.encode_batch(documents)  # type: ignore[attr-defined]
            return np.insert(ids, ends, self.end_of_text_id), num_bytes
        closed = ([*self.tokenizer.encode(document), self.end_of_text_id] for document in documents)
        return np.fromiter(chain.from_iterable(closed), dtype=np.uint32), num_bytes


if __name__ == "__main__":
    sys.exit(run_program(main, ENCODE, inputs=INPUTS, outputs=OUTPUTS))
