"""Make a Corpus: stories of known entropy, Python's standard library, or text or records of your own.

How text is split: with 40 documents or more, every document whose text hashes to 0 modulo 10 is held out, so equal
documents never stand on both sides; with fewer, the last tenth of each document is held out, from a line boundary on.
Stories need no such rule: every split is drawn separately.
"""

import dataclasses
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.corpora.python_library import python_library, python_version
from shared.corpora.records import read_documents, record_files
from shared.corpora.stories import stories
from shared.corpora.text import Drop, text_documents, text_files
from shared.errors import ConfigError, DataError
from shared.runs.program import run_program
from shared.runs.progress import progress
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import read_corpus, write_corpus

INPUTS: dict[str, str] = {}
OUTPUTS = {"corpus": "Corpus"}
VAL_EVERY = 10  # one document in so many is held out
FEW_DOCUMENTS = 40  # below, documents are cut instead of dealt out
STORY_BYTES_PER_SECOND = 4e6  # a slow core; only for --dry-run


@dataclass(frozen=True)
class MakeCorpus:
    """Text from a generator, from this Python, or from a path."""

    kind: Literal["stories", "python_library", "text", "records"] = "stories"  # where the text comes from
    path: str = ""  # text: a UTF-8 file or a directory of them; records: Parquet, JSON Lines, text; .gz, .zst
    field: str = ""  # records: the field that holds a document; empty: text
    megabytes: float = 16.0  # stories: bytes of the training split in units of 10^6
    seed: int = 0  # stories: which stories; the world they tell of stays the same
    errors: Literal["strict", "replace"] = "strict"  # text: what to do about bytes that are not UTF-8
    name: str = "toy"  # the Corpus's name
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {
    "toy": MakeCorpus(),
    "tiny": MakeCorpus(megabytes=1.0, name="tiny"),
    "one_gpu": MakeCorpus(megabytes=1000.0, name="one_gpu"),
    "python_library": MakeCorpus(kind="python_library", name="python_library"),
}


def main(config: MakeCorpus) -> None:
    """Publish the Corpus `config.name`."""
    store = Store(config.store)
    config, inputs = _checked(config)
    # What the text says decides what is made, not where it lay: the path is only remembered as a name.
    described = dataclasses.replace(config, path=Path(config.path).name)
    key = step_key("shared.corpora.make", described, inputs, ())
    if already_made(store, key, config.name):
        return
    left_out = LeftOut()
    with store.draft(
        "Corpus", config=recorded(described) | inputs, parents={}, name=config.name, key=key
    ) as draft:
        write_corpus(draft, _splits(config, left_out))
    corpus = read_corpus(draft.artifact)
    print(draft.artifact)
    for split in corpus.splits:
        floor = corpus.floor_bits_per_byte(split)
        known = "" if floor is None else f", entropy {floor:.4f} bits per byte"
        print(
            f"  {split}: {corpus.num_documents(split):,} documents, {corpus.num_bytes(split):,} bytes{known}"
        )
    left_out.report()


def plan(config: MakeCorpus) -> dict[str, Any]:
    """What the corpus will cost."""
    config, _ = _checked(config)
    if config.kind == "stories":
        sizes = _story_bytes(config)
        return {
            "train_bytes": sizes["train"],
            "held_out_bytes": sum(sizes.values()) - sizes["train"],
            "expected_seconds": sum(sizes.values()) / STORY_BYTES_PER_SECOND,
        }
    files = _files(config) if config.kind != "python_library" else []
    return (
        {"text_bytes": sum(f.stat().st_size for f in files)}
        if files
        else {"python_version": python_version()}
    )


class LeftOut:
    """Counts what was left out by reason and keeps the first of each as a sample."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = {}

    def __call__(self, reason: str, what: str) -> None:
        self.seen.setdefault(reason, set()).add(what)

    def report(self) -> None:
        for reason, names in sorted(self.seen.items()):
            print(f"  left out: {len(names):,} ({reason}), for example {min(names)}")


def _checked(config: MakeCorpus) -> tuple[MakeCorpus, dict[str, str]]:
    """The config without what its kind does not use, and what the text comes from besides.

    Raises:
        ConfigError: a setting that this kind of corpus does not have, or one that is missing.
    """
    reads = config.kind in ("text", "records")
    if reads != bool(config.path):
        wanted = "needs --path=FILE_OR_DIRECTORY" if reads else "takes no --path; say --kind=text"
        raise ConfigError(f"a corpus of kind '{config.kind}' {wanted}")
    if config.field and config.kind != "records":
        raise ConfigError(f"a corpus of kind '{config.kind}' has no --field; say --kind=records")
    if config.kind == "stories":
        if not 0.01 <= config.megabytes <= 100_000:
            raise ConfigError(f"megabytes={config.megabytes} should lie between 0.01 and 100,000")
        return config, {}
    config = dataclasses.replace(config, megabytes=0.0, seed=0)
    if config.kind == "python_library":
        return config, {"python_version": python_version()}
    root = Path(config.path)
    if not root.exists():
        raise DataError(f"there is no file or directory {config.path!r}; give the text with --path")
    return config, {"text_sha256": _content_hash(_files(config))}


def _files(config: MakeCorpus, drop: Drop = lambda reason, what: None) -> list[Path]:
    root = Path(config.path)
    return text_files(root, drop) if config.kind == "text" else record_files(root, drop)


def _content_hash(files: list[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            whole.update(hashlib.file_digest(handle, "sha256").digest())
    return whole.hexdigest()


def _splits(config: MakeCorpus, drop: Drop) -> dict[str, Iterable[Any]]:
    if config.kind == "stories":
        return {split: _told(config, split, size) for split, size in _story_bytes(config).items()}
    if config.kind == "python_library":
        return split_text(lambda: python_library(drop))
    if config.kind == "records":
        files, field = _files(config, drop), config.field or "text"
        return split_text(lambda: read_documents(files, field, drop=drop))
    return split_text(lambda: text_documents(config.path, config.errors, drop))


def _story_bytes(config: MakeCorpus) -> dict[str, int]:
    train = int(config.megabytes * 1e6)
    held_out = max(min(train // 20, 2_000_000), 100_000)
    return {"train": train, "val": held_out, "combinations": held_out}


def _told(config: MakeCorpus, split: Any, num_bytes: int) -> Iterator[tuple[str, float]]:
    with progress(num_bytes, f"telling stories ({split})", "bytes") as bar:
        for text, nats in stories(config.seed, num_bytes, split):
            yield text, nats
            bar.advance(len(text))


def split_text(read: Callable[[], Iterator[str]], val_every: int = VAL_EVERY) -> dict[str, Iterable[str]]:
    """The splits "train" and "val" of a text; the rule stands in the module's docstring.

    `read()` begins a new pass over the documents: one to count them, one for each split, so that memory stays constant.
    """
    hashes = Counter(_text_hash(text) % val_every for text in progress(read(), "reading", "documents"))
    if sum(hashes.values()) >= FEW_DOCUMENTS and 0 < hashes[0] < sum(hashes.values()):
        return {
            "train": (text for text in read() if _text_hash(text) % val_every),
            "val": (text for text in read() if not _text_hash(text) % val_every),
        }
    return {
        "train": (part for text in read() if (part := text[: val_start(text)])),
        "val": (part for text in read() if (part := text[val_start(text) :])),
    }


def val_start(text: str) -> int:
    """Where the held-out last tenth of a text begins: after the nearest line end, else after a space, else there."""
    aim = len(text) - max(len(text) // VAL_EVERY, 1)
    for mark in ("\n", " "):
        before, after = text.rfind(mark, 0, aim) + 1, text.find(mark, aim) + 1
        near = [place for place in (before, after) if 0 < place < len(text)]
        if near:
            return min(near, key=lambda place: abs(place - aim))
    return aim


def _text_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
