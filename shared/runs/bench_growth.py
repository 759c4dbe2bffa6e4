"""Cost against size, over three decades: the store, shards, batches, byte-pair encoding, logs, tasks, stories, memory.

Each work stands here beside the exponent that theory predicts and the reason for it. How the exponents are measured is
said in `growth.py`. The table goes to docs/benchmarks.md, the figure to docs/images/growth.png. What grows faster than
predicted makes this program fail.
"""

import contextlib
import functools
import io
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.corpora import make
from shared.corpora.python_library import python_library
from shared.corpora.stories import stories
from shared.doors.resolve import door
from shared.runs.bench import heading, write_table
from shared.runs.growth import (
    CONSTANT,
    LINEAR,
    N_LOG_N,
    TOLERANCE,
    Grown,
    Growth,
    grid,
    growth_rows,
    measure_growth,
    quick_folder,
)
from shared.runs.parallel import available_cores
from shared.runs.program import run_program
from shared.runs.runlog import RunLog, read_log
from shared.runs.tasks import Task, run_tasks
from shared.store import cli, manifests
from shared.store.artifacts import Artifact, Store
from shared.store.gc import collect
from shared.store.kinds import ShardWriter, read_shards

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # a table and a figure in docs/, no artifact

FIGURE = Path("docs/images/growth.png")
ABOUT = """\
Peak memory is what Python and numpy allocate. Fitted is overhead + c n^k; ± is two standard errors of k. An exponent
is as predicted within {TOLERANCE} of theory, which is what caches and slow factors may add over three decades.
"""
ARTIFACTS = grid(3, 3000)
TEXT_BYTES = grid(5_000, 5_000_000, (1, 2, 5))
RUN_BYTES = grid(1_000, 1_000_000)  # of one and the same letter, which is one pre-token
TOKENS = grid(10_000, 10_000_000)
MERGED_VOCABULARY = 1_000
CONTEXT_LENGTH = 256

Work = Callable[[], Any]


def publish(store: Store, content: dict[str, bytes], number: int, parent: Artifact | None = None) -> Artifact:
    """One more artifact of its own, with a name."""
    parents = {} if parent is None else {"data": parent.digest}
    with store.draft("Report", config={"number": number}, parents=parents, name=f"number-{number}") as draft:
        for name, data in content.items():
            (draft.path / name).write_bytes(data)
    return draft.artifact


PAGE = {"index.html": b"x"}


def store_growths(folder: Path) -> Iterator[Growth]:
    """What a store costs as it fills, as lineages lengthen, and as artifacts get larger."""

    @functools.cache
    def chain(count: int) -> Store:
        """Named artifacts, each made from the one before."""
        store, last = Store(folder / f"chain-{count}"), None
        for number in range(count):
            last = publish(store, PAGE, number, last)
        return store

    def open_by_name(count: int, own: Path) -> Work:
        store = chain(count)
        return lambda: store.open("number-1", "Report")

    def publish_one_more(count: int, own: Path) -> Work:
        shutil.copytree(chain(count).root, own / "store")  # the chain stays as long as it is
        store, numbers = Store(own / "store"), itertools.count(count)
        parent = store.open("number-0", "Report")
        return lambda: publish(store, PAGE, next(numbers), parent)

    def list_all(count: int, own: Path) -> Work:
        arguments = [f"--store={chain(count).root}", "list"]
        return lambda: silently(lambda: cli.main(arguments))

    def collect_garbage(count: int, own: Path) -> Work:
        store = chain(count)
        return lambda: collect(store, delete=False)

    def lineage(count: int, own: Path) -> Work:
        store = chain(count)
        leaf = store.open(f"number-{count - 1}", "Report")
        return lambda: store.lineage(leaf)

    for name, work, expected, why in (
        ("open one by name", open_by_name, CONSTANT, "a name is a file"),
        ("publish one more", publish_one_more, CONSTANT, "one folder, two pointers"),
        ("list all", list_all, LINEAR, "reads each manifest"),
        ("find garbage", collect_garbage, LINEAR, "reads each manifest"),
        ("lineage", lineage, LINEAR, "a chain: reads each manifest"),
    ):
        yield Growth("A store of n artifacts", name, "artifacts", ARTIFACTS, work, expected, why)

    def publish_bytes(size: int, own: Path) -> Work:
        store, numbers, data = Store(own), itertools.count(), bytes(size)
        return lambda: publish(store, {"index.html": data}, next(numbers))

    def verify_bytes(size: int, own: Path) -> Work:
        artifact = publish(Store(own), {"index.html": bytes(size)}, 0)
        return lambda: manifests.verify(artifact.path, artifact.manifest, own, again=True)

    def open_bytes(size: int, own: Path) -> Work:
        store = Store(own)
        publish(store, {"index.html": bytes(size)}, 0)
        return lambda: store.open("number-0", "Report")

    for name, work, expected, why in (
        ("publish", publish_bytes, LINEAR, "SHA-256 of every byte"),
        ("verify again", verify_bytes, LINEAR, "SHA-256 of every byte"),
        ("open", open_bytes, CONSTANT, "known by inode, size and time"),
    ):
        yield Growth("An artifact of n bytes", name, "bytes", grid(30_000, 30_000_000), work, expected, why)

    def publish_files(count: int, own: Path) -> Work:
        store, numbers = Store(own), itertools.count()
        content = PAGE | {f"{number}.txt": b"x" for number in range(count)}
        return lambda: publish(store, content, next(numbers))

    yield Growth(
        "n files, n tasks", "publish n files", "files", grid(1, 1000), publish_files, LINEAR, "hashes each"
    )


def task_growths(folder: Path) -> Iterator[Growth]:
    """Sets of idempotent tasks: done, and found done."""

    def work(task: Task, directory: Path) -> None:
        (directory / "out.txt").write_text(task.name)

    def run_all(count: int, own: Path) -> Work:
        tasks, numbers = [Task(f"task-{number}") for number in range(count)], itertools.count()
        return lambda: run_tasks(tasks, work, own / str(next(numbers)), code="one")

    def run_again(count: int, own: Path) -> Work:
        tasks = [Task(f"task-{number}") for number in range(count)]
        run_tasks(tasks, work, own, code="one")
        return lambda: run_tasks(tasks, work, own, code="one")

    group = "n files, n tasks"
    yield Growth(
        group, "run n tasks", "tasks", grid(1, 1000), run_all, LINEAR, "a lease, a folder, a marker each"
    )
    yield Growth(group, "find n tasks done", "tasks", grid(1, 1000), run_again, LINEAR, "reads each marker")


def shard_growths(folder: Path) -> Iterator[Growth]:
    """Token ids on disk, and the batches that training cuts from them."""
    basics = door("a1_basics", "reference")

    @functools.cache
    def shards(count: int) -> Artifact:
        ids = np.random.default_rng(0).integers(1, 10_000, count)
        ids[-1] = 0
        store = Store(folder / f"shards-{count}")
        with (
            store.draft("Shards", config={}, parents={}, name="shards") as draft,
            ShardWriter(draft, vocab_size=10_000, end_of_text_id=0) as writer,
        ):
            writer.write("train", ids)
        return draft.artifact

    def open_shards(count: int, own: Path) -> Work:
        store = Store(shards(count).path.parent.parent)
        return lambda: read_shards(store.open("shards", "Shards")).tokens("train")

    def read_all(count: int, own: Path) -> Work:
        artifact = shards(count)
        return lambda: int(read_shards(artifact).tokens("train").max())

    def verify(count: int, own: Path) -> Work:
        artifact = shards(count)
        return lambda: manifests.verify(artifact.path, artifact.manifest, own, again=True)

    for name, work, expected, why in (
        ("open", open_shards, CONSTANT, "mapped, not read"),
        ("read all", read_all, LINEAR, "looks at every id"),
        ("verify again", verify, LINEAR, "SHA-256 of every byte"),
    ):
        yield Growth("Shards of n tokens", name, "tokens", TOKENS, work, expected, why)

    def batch_from(count: int, own: Path) -> Work:
        tokens = read_shards(shards(count)).tokens("train")
        return lambda: basics.run_get_batch(tokens, 16, CONTEXT_LENGTH, "cpu")

    def batch_of(count: int, own: Path) -> Work:
        tokens = read_shards(shards(TOKENS[-1])).tokens("train")
        return lambda: basics.run_get_batch(tokens, count, CONTEXT_LENGTH, "cpu")

    why = "reads only its windows"
    yield Growth("Training batches", "16 of n tokens", "tokens", TOKENS, batch_from, CONSTANT, why)
    yield Growth(
        "Training batches", "n sequences", "sequences", grid(3, 3000), batch_of, LINEAR, "copies n windows"
    )


def encoding_growths(folder: Path) -> Iterator[Growth]:
    """Byte-pair encoding of Python's own library, and of what is worst: one pre-token as long as the text."""
    basics = door("a1_basics", "reference")
    library = "".join(python_library()).encode("utf-8")

    lines = library.decode("utf-8").splitlines(keepends=True)  # nearly all ASCII: a character is a byte

    def text(size: int) -> str:
        return library[:size].decode("utf-8", "ignore")

    @functools.cache
    def tokenizer() -> Any:
        path = folder / "library.txt"
        path.write_text(text(TEXT_BYTES[-1]), encoding="utf-8")
        return basics.get_tokenizer(*basics.run_train_bpe(path, MERGED_VOCABULARY, []))

    def train(size: int, own: Path) -> Work:
        path = own / "text.txt"
        path.write_text(text(size), encoding="utf-8")
        return lambda: basics.run_train_bpe(path, MERGED_VOCABULARY, [])

    def encode(size: int, own: Path) -> Work:
        part, encoder = text(size), tokenizer()
        return lambda: encoder.encode(part)

    def encode_run(letter: str) -> Callable[[int, Path], Work]:
        def prepare(size: int, own: Path) -> Work:
            run, encoder = letter * size, tokenizer()
            return lambda: encoder.encode(run)

        return prepare

    def encode_stream(size: int, own: Path) -> Work:
        def stream() -> Iterator[str]:  # the library again and again, of which nothing is kept
            left = size
            for line in itertools.chain.from_iterable(itertools.repeat(lines)):
                left -= len(line)
                if left < 0:
                    return
                yield line

        encoder = tokenizer()
        return lambda: deque(encoder.encode_iterable(stream()), maxlen=0)

    group = "Byte-pair encoding"
    learned = f"reads n bytes, then {MERGED_VOCABULARY:,} merges among words, of which there are fewer"
    yield Growth(group, "train", "bytes", TEXT_BYTES, train, LINEAR, learned)
    yield Growth(group, "encode", "bytes", TEXT_BYTES, encode, LINEAR, "each word once, then looked up")
    streams = grid(30_000, 30_000_000)
    yield Growth(group, "encode, streamed", "bytes", streams, encode_stream, LINEAR, "in pieces")
    for letter, shown in (("a", "a letter"), ("^", "a sign")):
        why = "a heap over one pre-token"
        yield Growth(group, f"encode n times {shown}", "bytes", RUN_BYTES, encode_run(letter), N_LOG_N, why)
    group, why = "Peak memory", "a piece at a time"
    yield Growth(group, "encode, streamed", "bytes", streams, encode_stream, CONSTANT, why, "bytes")


def log_growths(folder: Path) -> Iterator[Growth]:
    """Run logs."""
    records = grid(100, 100_000)

    def written(count: int, own: Path) -> Path:
        line = json.dumps({"step": 1, "loss_nats": 3.25, "learning_rate": 1e-3, "elapsed_seconds": 1.5})
        path = own / "log.jsonl"
        path.write_text(f"{line}\n" * count, encoding="utf-8")
        return path

    def append(count: int, own: Path) -> Work:
        path = written(count, own)

        def work() -> None:
            log = RunLog(path)
            log.append(count, {"loss_nats": 3.25, "learning_rate": 1e-3})
            log.close()

        return work

    def read(count: int, own: Path) -> Work:
        path = written(count, own)
        return lambda: read_log(path)

    group = "Logs and stories"
    yield Growth(group, "append to a log", "records", records, append, CONSTANT, "looks at its end")
    yield Growth(group, "read a log", "records", records, read, LINEAR, "parses each")
    yield Growth("Peak memory", "read a log", "records", records, read, LINEAR, "a dictionary each", "bytes")


def story_growths(folder: Path) -> Iterator[Growth]:
    """Making the corpus of stories."""

    def make_corpus(size: int, own: Path) -> Work:
        numbers = itertools.count()

        def work() -> None:
            store = own / str(next(numbers))
            silently(lambda: make.main(make.MakeCorpus(megabytes=size / 1e6, store=store)))

        return work

    def tell(size: int, own: Path) -> Work:
        deque(stories(0, 1), maxlen=0)  # its tables are made once
        return lambda: deque(stories(0, size), maxlen=0)

    sizes, why = grid(10_000, 10_000_000), "one story after another"
    yield Growth("Logs and stories", "make stories", "bytes", sizes, make_corpus, LINEAR, why)
    sizes = grid(3_000, 3_000_000)
    yield Growth("Peak memory", "tell stories", "bytes", sizes, tell, CONSTANT, "keeps none", "bytes")


def silently(work: Work) -> None:
    """Do work without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        work()


@dataclass(frozen=True)
class BenchGrowth:
    """How often each size is measured, and which growths."""

    repeats: int = 5  # of which the least counts
    only: tuple[str, ...] = ()  # groups or names, or parts of them; then nothing is written to docs


PRESETS = {"default": BenchGrowth(), "quick": BenchGrowth(repeats=3)}


def main(config: BenchGrowth) -> int:
    """Measure every growth; 1 when one is faster than predicted."""
    results: list[Grown] = []
    load = f"load of other work {os.getloadavg()[0]:.1f} on {available_cores()} cores"
    with tempfile.TemporaryDirectory(dir=quick_folder(), prefix="growth-") as name:
        kinds = (store_growths, task_growths, shard_growths, encoding_growths, log_growths, story_growths)
        for growth in itertools.chain.from_iterable(kind(Path(name)) for kind in kinds):
            label = f"{growth.group}: {growth.name}"
            if not config.only or any(part in label for part in config.only):
                results.append(measure_growth(growth, config.repeats))
                print(growth_rows(results[-1:])[-1], flush=True)
    if not config.only:
        publish_results(results, load)
    return int(any(grown.verdict == "grows faster" for grown in results))


def publish_results(results: list[Grown], load: str) -> None:
    """The table and the figure in docs/."""
    from shared.report.growth_figure import growth_figure

    growth_figure(FIGURE, results)
    text = [
        *heading("growth", f"processor time, the least of {results[0].repeats} at each size; {load}"),
        ABOUT.format(TOLERANCE=TOLERANCE),
        "![cost against size, with guide lines of slope 1](images/growth.png)",
        "",
        *growth_rows(results),
    ]
    write_table("growth", "\n".join(text))


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
