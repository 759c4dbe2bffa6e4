"""The long programs, each as the one command that is killed and given again, and all that it must leave behind."""

import hashlib
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from a1_basics import studies
from a1_basics.configs import ENCODE, LADDER_RUNS, TRAIN_LM, TRAIN_TOKENIZER
from a1_basics.run import encode, ladder, learning_rate, train_lm, train_tokenizer
from shared import journey
from shared.corpora import download, fetch, make
from shared.corpora.catalog import Dataset, Source
from shared.runs.checkpoints import Checkpoints
from shared.runs.program import run_program
from shared.runs.runlog import comparable, read_log
from shared.store import manifests
from shared.store.artifacts import Store
from tests.system.torture.trial import Command, forked
from tests.units.shared.data_server import Page, Site, serving

TASK_BYTES = 16_000  # of text in each task of `encode`: a small corpus is thirty of them
CHUNK_BYTES = 8_000  # that a download takes at once
VOLATILE = (".lock", "sessions.jsonl", "writer.json")  # of a run: who was there, not what came of it


@dataclass(frozen=True)
class Program:
    """A command on a folder, which holds its artifacts, its unfinished runs and its data."""

    name: str
    command: Command
    needs_prepared: bool = True  # corpora, tokenizers and shards of `prepare`


def places(folder: Path, *, runs: bool = False) -> list[str]:
    """The flags that say where a program reads and writes."""
    found = ["--store", str(folder / "artifacts")]
    return [*found, "--runs", str(folder / "runs")] if runs else found


def run_make(folder: Path) -> int:
    flags = ["--preset", "tiny", "--megabytes", "0.05", "--seed", "1", "--name", "made", *places(folder)]
    return run_program(make.main, make.PRESETS, argv=flags)


def run_train_tokenizer(folder: Path) -> int:
    flags = ["--corpus", "long", "--vocab-size", "400", "--name", "learned", *places(folder)]
    return run_program(train_tokenizer.main, TRAIN_TOKENIZER, argv=flags)


def run_encode(folder: Path) -> int:
    encode.TASK_BYTES = TASK_BYTES
    flags = ["--corpus", "long", "--tokenizer", "tiny", "--name", "long", *places(folder, runs=True)]
    return run_program(encode.main, ENCODE, argv=flags)


def run_train_lm(folder: Path) -> int:
    flags = ["--preset", "tiny", "--shards", "tiny", "--name", "tiny", "--steps", "24", "--device", "cpu"]
    flags += ["--checkpoint-every-steps", "5", "--evaluate-every-steps", "7", "--precision", "float32"]
    return run_program(train_lm.main, TRAIN_LM, argv=[*flags, *places(folder, runs=True)])


def run_ladder(folder: Path) -> int:
    flags = [
        "--preset",
        "tiny",
        "--shards",
        "letters",
        "--name",
        "ladder",
        "--steps",
        "12",
        "--device",
        "cpu",
    ]
    flags += ["--rungs", "counted bigram", "neural bigram", "dropout", "Muon", *places(folder, runs=True)]
    return run_program(ladder.main, LADDER_RUNS, argv=flags)


def run_learning_rate(folder: Path) -> int:
    flags = ["--preset", "tiny", "--shards", "tiny", "--name", "rates", "--rates", "0.001", "0.01", "10"]
    flags += ["--precision", "float32", "--device", "cpu", *places(folder, runs=True)]
    return run_program(learning_rate.main, studies.LEARNING_RATE, argv=flags)


def run_fetch(folder: Path) -> int:
    """The download of `make data`, from a server on this machine whose address the environment holds."""
    content = Path(os.environ["LM_TORTURE_PAGE"]).read_bytes()
    source = Source(url=os.environ["LM_TORTURE_URL"], sha256=hashlib.sha256(content).hexdigest())
    row = Dataset(
        name="pages",
        title="pages",
        licence="free",
        citation="none",
        page="https://example.org",
        becomes="Corpus",
        splits="by hash",
        used_by=(),
        stand_in="",
        files=(source,),
    )
    fetch.dataset = lambda name: row  # type: ignore[assignment]
    download.CHUNK_BYTES = CHUNK_BYTES
    flags = ["--dataset", "pages", "--data", str(folder / "data"), *places(folder)]
    return run_program(fetch.main, fetch.PRESETS, argv=flags)


def run_journey(folder: Path) -> int:
    """What `make toy SCALE=tiny` starts."""
    return journey.main(["toy", "--scale", "tiny", *places(folder, runs=True)])


PROGRAMS = {
    program.name: program
    for program in (
        Program("corpora.make", run_make, needs_prepared=False),
        Program("data download", run_fetch, needs_prepared=False),
        Program("train_tokenizer", run_train_tokenizer),
        Program("encode", run_encode),
        Program("train_lm", run_train_lm),
        Program("ladder", run_ladder),
        Program("learning_rate", run_learning_rate),
        Program("make toy", run_journey, needs_prepared=False),
    )
}


def prepare(folder: Path) -> None:
    """Two corpora, two tokenizers and their shards, under `folder`."""
    store = places(folder)
    shards = [*store, "--runs", str(folder / "unfinished")]
    small = ["--preset", "tiny", "--megabytes", "0.1", "--name", "tiny", *store]
    long = ["--preset", "tiny", "--megabytes", "0.3", "--name", "long", "--seed", "2", *store]
    letters = ["--kind", "chars", "--corpus", "tiny", "--name", "letters", *store]
    steps: list[tuple[Any, Any, list[str]]] = [
        (make, make.PRESETS, small),
        (make, make.PRESETS, long),
        (
            train_tokenizer,
            TRAIN_TOKENIZER,
            ["--preset", "tiny", "--corpus", "tiny", "--name", "tiny", *store],
        ),
        (train_tokenizer, TRAIN_TOKENIZER, letters),
        (encode, ENCODE, ["--corpus", "tiny", "--tokenizer", "tiny", "--name", "tiny", *shards]),
        (encode, ENCODE, ["--corpus", "tiny", "--tokenizer", "letters", "--name", "letters", *shards]),
    ]

    def all_steps(_: Path) -> int:
        return max(run_program(program.main, presets, argv=flags) for program, presets, flags in steps)

    ended = forked(all_steps, folder)
    if ended.status:
        raise RuntimeError(f"what the trials need could not be made (status {ended.status}):\n{ended.said}")


@contextmanager
def page_server(folder: Path) -> Iterator[None]:
    """Serve some pages of text from a process of its own, and say where in the environment."""
    text = "".join(f"Page {number} of a book that was fetched.<|endoftext|>\n" * 40 for number in range(120))
    page = folder / "page.txt"
    page.write_text(text, encoding="utf-8")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with serving(Site(pages={"/pages.txt": Page(text.encode())})) as site:
                os.write(writing, f"{site.url}/pages.txt\n".encode())
                signal.pause()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        os.environ["LM_TORTURE_URL"] = said.readline().strip()
    os.environ["LM_TORTURE_PAGE"] = str(page)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def outcome(folder: Path) -> dict[str, Any]:
    """All that must be the same whether or not a program was disturbed: part -> value.

    Artifacts by digest, each verified byte by byte; names and keys; logs without what is measured; every tensor of the
    last checkpoint of each run and how many there are; the other files of `runs` and `data` by name, so that nothing
    unfinished stays. Which checkpoint stands before the last depends on when the run was asked to stop.
    """
    found: dict[str, Any] = {}
    store = Store(folder / "artifacts")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for artifact in store.list():
            manifests.verify(artifact.path, artifact.manifest, store.root, again=True)
            found[f"{artifact.kind} {artifact.digest}"] = "whole"
    for pointer in sorted((*store.root.glob("names/*/*"), *store.root.glob("keys/*"))):
        found[str(pointer.relative_to(store.root))] = pointer.read_text(encoding="utf-8")
    for log in sorted(folder.glob("runs/**/log.jsonl")):
        found[f"log {log.parent.name}"] = comparable(read_log(log))
    earlier: set[Path] = set()
    for run in sorted({path.parent for path in folder.glob("runs/**/checkpoints")}):
        checkpoints = Checkpoints(run)
        last, kept = checkpoints.find(), checkpoints.newest_first()
        found[f"checkpoint {run.name}"] = None if last is None else (last.step, tensors_of(last.path))
        found[f"checkpoints kept {run.name}"] = len(kept)
        earlier.update(kept[1:])
    for path in sorted((*folder.glob("runs/**/*"), *folder.glob("data/**/*"))):
        if path.name not in VOLATILE and path not in earlier and path.parent not in earlier:
            found[f"file {path.relative_to(folder)}"] = True
    return found


def tensors_of(checkpoint: Path) -> str:
    """A digest of every tensor and number in a checkpoint, by name."""
    found = hashlib.sha256()
    for path in sorted(checkpoint.glob("*.safetensors")):
        for name, tensor in sorted(load_file(path).items()):
            _add(found, f"{path.name}/{name}", tensor)
    for path in sorted(checkpoint.glob("*.pt")):
        _add(found, path.name, torch.load(path, weights_only=True))
    return found.hexdigest()


def _add(found: Any, name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _add(found, f"{name}/{key}", inner)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _add(found, f"{name}/{index}", inner)
    elif isinstance(value, torch.Tensor):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(
            value.contiguous().view(torch.uint8).numpy().tobytes() if value.ndim else repr(value).encode()
        )
    else:
        found.update(f"{name} {value!r}".encode())


def differences(whole: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The parts in which two outcomes differ, in words."""
    return [
        f"{part} {'differs' if part in whole and part in other else 'is missing' if part in whole else 'is too much'}"
        for part in sorted({*whole, *other})
        if whole.get(part) != other.get(part)
    ]
