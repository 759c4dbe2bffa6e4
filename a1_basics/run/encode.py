"""Encode every split of a Corpus into Shards: token ids, each document closed by the end-of-text token.

Every few megabytes of a file are a task (`shared.runs.tasks`) that leaves its ids under `runs/`; when all are done
they are joined in order. So a run that was killed goes on where it was, and the same command given on several hosts
of one file system shares the work. Never is more than a task's ids or a part of its text in memory; on disk the ids
lie twice until they are published.
"""

import dataclasses
import json
import mmap
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Int

from a1_basics.configs import ENCODE, Encode
from shared.doors.protocols import EndToEndTokenizer, TokenizerLike
from shared.doors.resolve import door, source_roots
from shared.doors.tokenizers import open_tokenizer
from shared.errors import ArtifactError, ContractError
from shared.runs.parallel import available_cores
from shared.runs.program import run_program
from shared.runs.steps import already_made, recorded, step_key
from shared.runs.tasks import Outcome, Task, run_tasks
from shared.store.artifacts import Store
from shared.store.kinds import (
    DOCUMENT_END,
    CorpusReader,
    ShardWriter,
    read_corpus,
    read_shards,
    read_tokenizer,
)

INPUTS = {"corpus": "Corpus", "tokenizer": "Tokenizer"}
OUTPUTS = {"shards": "Shards"}

MARKER = DOCUMENT_END.encode("utf-8")
TASK_BYTES = 4 << 20  # of text: a second or two of work for the clear tokenizer, a tenth for the fast one
PART_BYTES = 1 << 20  # of a task, read and encoded at once
PARALLEL_FROM_BYTES = 4 << 20  # below, starting workers costs more than they save


def main(config: Encode) -> None:
    """Publish the Shards `config.name`."""
    store = Store(config.store)
    corpus = read_corpus(store.open(config.corpus, "Corpus"))
    files = read_tokenizer(tokenizer := store.open(config.tokenizer, "Tokenizer"))
    inputs = {"corpus": corpus.artifact.digest, "tokenizer": tokenizer.digest}
    config = dataclasses.replace(config, **inputs)
    num_workers, config = config.num_workers, dataclasses.replace(config, num_workers=0)  # changes no id
    key = step_key("a1_basics.run.encode", config, inputs, source_roots("a1_basics", config.impl))
    directory = config.runs / f"{config.name}-encode-{key[:12]}"
    if already_made(store, key, config.name):
        shutil.rmtree(directory, ignore_errors=True)  # a run that was killed once it had published left it
        return
    encoder = open_tokenizer(door("a1_basics", config.impl), files)
    work = EncodeTask(corpus, PartEncoder(encoder, files.end_of_text_id))
    total_bytes = sum(corpus.num_bytes(split) for split in corpus.splits)
    if total_bytes < PARALLEL_FROM_BYTES:
        num_workers = 1
    tasks = list(tasks_of(corpus))
    outcomes = run_tasks(
        tasks,
        work,
        directory,
        code=key,
        num_workers=num_workers or available_cores(),
        label=f"encode {config.name}",
    )
    with (
        store.draft("Shards", config=recorded(config), parents=inputs, name=config.name, key=key) as draft,
        ShardWriter(draft, len(files.vocab), files.end_of_text_id) as writer,
    ):
        for outcome in outcomes:
            ids, num_bytes = encoded(outcome)
            writer.write(outcome.task.config["split"], ids, num_bytes=num_bytes)
    shutil.rmtree(directory, ignore_errors=True)  # another host may be removing it too
    shards = read_shards(draft.artifact)
    for split in shards.splits:
        ratio = shards.num_bytes(split) / shards.num_tokens(split)
        print(f"{split}: {shards.num_tokens(split):,} tokens, {ratio:.2f} bytes per token")
    print(draft.artifact)


def tasks_of(corpus: CorpusReader) -> Iterator[Task]:
    """The corpus in tasks of about `TASK_BYTES`, split by split."""
    for split in corpus.splits:
        path = corpus.path(split)
        for number, part in enumerate(parts(path, 0, path.stat().st_size, TASK_BYTES)):
            place = {"split": split, "start": part.start, "end": part.end}
            yield Task(f"{split}-{number:06d}", config=place)


class EncodeTask:
    """The work of one task: its ids in `ids.bin`, the bytes of their text in `text.json`."""

    def __init__(self, corpus: CorpusReader, encode_part: "PartEncoder") -> None:
        self.corpus, self.encode_part = corpus, encode_part

    def __call__(self, task: Task, directory: Path) -> None:
        path, num_text_bytes = self.corpus.path(task.config["split"]), 0
        with (directory / "ids.bin").open("wb") as file:
            for part in parts(path, task.config["start"], task.config["end"]):
                ids, num_bytes = self.encode_part(part)
                file.write(ids.astype("<u4").tobytes())
                num_text_bytes += num_bytes
        (directory / "text.json").write_text(json.dumps({"text_bytes": num_text_bytes}), encoding="utf-8")


def encoded(outcome: Outcome) -> tuple[Int[np.ndarray, "tokens"], int]:
    """What a task left: its ids and the bytes of their text."""
    text = json.loads(outcome.file("text.json").read_text(encoding="utf-8"))
    return np.fromfile(outcome.file("ids.bin"), dtype="<u4"), text["text_bytes"]


@dataclass(frozen=True)
class FilePart:
    """Bytes of a corpus file that hold whole documents, each with the marker that closes it."""

    path: Path
    start: int
    end: int


def parts(path: Path, start: int, end: int, part_bytes: int = PART_BYTES) -> Iterator[FilePart]:
    """The bytes `start` to `end` of a corpus file in parts of about `part_bytes`.

    The file is searched in place: nothing of it is copied.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while start < end:
            marker = content.find(MARKER, start + part_bytes, end)
            part_end = end if marker < 0 else marker + len(MARKER)
            yield FilePart(path, start, part_end)
            start = part_end


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
        if isinstance(self.tokenizer, EndToEndTokenizer):
            ids, ends = self.tokenizer.encode_end_to_end(documents)
            require_end_to_end(ids, ends, len(documents))
            return np.insert(ids, ends, self.end_of_text_id), num_bytes
        closed = ([*self.tokenizer.encode(document), self.end_of_text_id] for document in documents)
        return np.fromiter(chain.from_iterable(closed), dtype=np.uint32), num_bytes


def require_end_to_end(ids: np.ndarray, ends: np.ndarray, num_texts: int) -> None:
    """Hold a tokenizer to what `EndToEndTokenizer` promises: ids written to Shards are never looked at again.

    Raises:
        ContractError: the arrays are not one row of ids with the end of each text in it.
    """
    shapes = np.shape(ids), np.shape(ends)
    if (
        len(shapes[0]) != 1
        or shapes[1] != (num_texts,)
        or np.any(np.diff(ends, prepend=0) < 0)
        or len(ids) != (ends[-1] if num_texts else 0)
    ):
        raise ContractError(
            f"encode_end_to_end gave ids of shape {shapes[0]} and ends of shape {shapes[1]} for {num_texts} texts; "
            f"wanted all ids in one row and {num_texts} ends in it, in order, the last at its end"
        )


if __name__ == "__main__":
    sys.exit(run_program(main, ENCODE, inputs=INPUTS, outputs=OUTPUTS))
