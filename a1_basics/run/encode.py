"""Encode every split of a Corpus into Shards: token ids, each document closed by the end-of-text token."""

import dataclasses
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from a1_basics.configs import ENCODE, Encode
from shared.doors.protocols import TokenizerLike
from shared.doors.resolve import door, source_roots
from shared.doors.tokenizers import open_tokenizer
from shared.runs.parallel import available_cores, map_in_order
from shared.runs.program import run_program
from shared.runs.progress import progress
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import ShardWriter, read_corpus, read_shards, read_tokenizer

INPUTS = {"corpus": "Corpus", "tokenizer": "Tokenizer"}
OUTPUTS = {"shards": "Shards"}

GROUP_CHARS = 1 << 20  # documents travel to the workers in groups of about this size
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
    encode_group = GroupEncoder(encoder, files.end_of_text_id)
    total_bytes = sum(corpus.num_bytes(split) for split in corpus.splits)
    num_workers = (config.num_workers or available_cores()) if total_bytes >= PARALLEL_FROM_BYTES else 1
    with (
        store.draft("Shards", config=recorded(config), parents=inputs, name=config.name, key=key) as draft,
        ShardWriter(draft, len(files.vocab), files.end_of_text_id) as writer,
        progress(total_bytes, f"encode {config.name}", "bytes") as bar,
    ):
        for split in corpus.splits:
            for ids, num_bytes in map_in_order(encode_group, groups(corpus.documents(split)), num_workers):
                writer.write(split, ids, num_bytes=num_bytes)
                bar.advance(num_bytes)
    shards = read_shards(draft.artifact)
    for split in shards.splits:
        ratio = shards.num_bytes(split) / shards.num_tokens(split)
        print(f"{split}: {shards.num_tokens(split):,} tokens, {ratio:.2f} bytes per token")
    print(draft.artifact)


class GroupEncoder:
    """Encodes a group of documents, in whatever process it finds itself: one array of ids and the bytes of text."""

    def __init__(self, tokenizer: TokenizerLike, end_of_text_id: int) -> None:
        self.tokenizer, self.end_of_text_id = tokenizer, end_of_text_id

    def __call__(self, documents: list[str]) -> tuple[np.ndarray, int]:
        ids: list[int] = []
        for document in documents:
            ids += self.tokenizer.encode(document)
            ids.append(self.end_of_text_id)
        return np.array(ids, dtype=np.uint32), sum(len(document.encode("utf-8")) for document in documents)


def groups(documents: Iterable[str]) -> Iterator[list[str]]:
    """Documents in lists of about `GROUP_CHARS` characters."""
    group: list[str] = []
    num_chars = 0
    for document in documents:
        group.append(document)
        num_chars += len(document)
        if num_chars >= GROUP_CHARS:
            yield group
            group, num_chars = [], 0
    if group:
        yield group


if __name__ == "__main__":
    sys.exit(run_program(main, ENCODE, inputs=INPUTS, outputs=OUTPUTS))
