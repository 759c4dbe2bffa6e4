"""A whole `train_lm` in a fork that can be killed at a chosen operation; used by the crash tests and `make torture`.

Operations are counted at everything that changes a file and at every batch, so "kill at operation n" is a moment that
can be repeated. The forking process only imports: threads do not survive a fork.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from a1_basics import adapters
from a1_basics.configs import TRAIN_LM
from a1_basics.run import encode, train_lm, train_tokenizer
from shared.corpora import make
from shared.runs import runlog
from shared.runs.checkpoints import Checkpoints
from shared.runs.program import run_program
from shared.runs.runlog import comparable, read_log
from shared.store.artifacts import Store

STEPS = 24
FLAGS = ["--preset", "tiny", "--shards", "tiny", "--name", "tiny", "--steps", str(STEPS)]
FLAGS += [
    "--checkpoint-every-steps",
    "5",
    "--evaluate-every-steps",
    "7",
    "--precision",
    "float32",
    "--device",
    "cpu",
]


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    status: int  # exit status, or minus the signal's number
    operations: int  # counted in the child, when nothing killed it
    seconds: float


def prepare(folder: Path) -> None:
    """Corpus, tokenizer and shards of a tiny language model, under `folder`."""
    store = ["--store", str(folder / "artifacts")]
    named = ["--name", "tiny", *store]
    programs: list[tuple[Any, list[str]]] = [
        (make, ["--preset", "tiny", "--megabytes", "0.1", *named]),
        (train_tokenizer, ["--preset", "tiny", "--corpus", "tiny", *named]),
        (encode, ["--corpus", "tiny", "--tokenizer", "tiny", *named, "--runs", str(folder / "runs")]),
    ]
    for program, flags in programs:
        presets = next(
            getattr(program, name)
            for name in ("PRESETS", "TRAIN_TOKENIZER", "ENCODE")
            if hasattr(program, name)
        )
        ended = forked(
            lambda program=program, presets=presets, flags=flags: run_program(
                program.main, presets, argv=flags
            )
        )
        assert ended.status == 0, f"{program.__name__} ended with {ended.status}"


def train(folder: Path, *, kill_at: int | None = None, delay_seconds: float | None = None) -> Ended:
    """Start or resume the training under `folder`, to be killed before its `kill_at`-th operation or by a timer."""
    places = ["--store", str(folder / "artifacts"), "--runs", str(folder / "runs")]
    return forked(
        lambda: run_program(train_lm.main, TRAIN_LM, argv=[*FLAGS, *places]), kill_at, delay_seconds
    )


def forked(work: Callable[[], int], kill_at: int | None = None, delay_seconds: float | None = None) -> Ended:
    """Run `work` in a child that counts its operations and may be killed."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                if not os.environ.get("LM_SHOW_CHILDREN"):
                    os.dup2(nowhere.fileno(), 2)
            count = _count_operations(kill_at)
            if delay_seconds is not None:
                threading.Timer(delay_seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
            status = work()
            os.write(writing, str(count()).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as answer:
        operations = int(answer.read() or 0)
    _, wait_status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(wait_status), operations, time.perf_counter() - began)


def _count_operations(kill_at: int | None) -> Callable[[], int]:
    done = 0

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def ticking(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if done == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return act(*arguments, **options)

        return ticking

    for owner, name in (
        (os, "fsync"),
        (os, "rename"),
        (os, "replace"),
        (os, "unlink"),
        (os, "rmdir"),
        (torch, "save"),
        (runlog.RunLog, "append"),
        (adapters, "run_get_batch"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))
    return lambda: done


@dataclass(frozen=True)
class Outcome:
    """Everything that must be the same whether or not the training was killed on its way."""

    checkpoint: str  # digest: weights, shape, config, parents
    run_log: str  # digest: the log without times, rates and memory
    optimizer: dict[str, torch.Tensor]
    weights: dict[str, torch.Tensor]
    log: list[dict[str, Any]]  # the run's own log, without times, rates and memory


def outcome(folder: Path, steps: int = STEPS) -> Outcome:
    """What the finished training under `folder` left behind."""
    store = Store(folder / "artifacts")
    [run_dir] = (folder / "runs").iterdir()
    last = Checkpoints(run_dir).find()
    assert last is not None, "no checkpoint"
    assert last.step == steps, f"the last checkpoint is of step {last.step}"
    saved = torch.load(last.path / "optimizer.pt", weights_only=True)
    moments = {
        f"{index}.{key}": value for index, entry in saved["state"].items() for key, value in entry.items()
    }
    groups = {
        f"group{index}.lr": torch.tensor(group["lr"]) for index, group in enumerate(saved["param_groups"])
    }
    return Outcome(
        store.open("tiny", "Checkpoint").digest,
        store.open("tiny", "RunLog").digest,
        moments | groups,
        load_file(last.path / "model.safetensors"),
        comparable(read_log(run_dir / "log.jsonl")),
    )


def differences(whole: Outcome, other: Outcome) -> list[str]:
    """What differs, in words; empty when all is the same to the bit."""
    found = []
    for what in ("weights", "optimizer"):
        ours, theirs = getattr(whole, what), getattr(other, what)
        same = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
        found += [] if same else [what]
    found += [] if whole.log == other.log else ["log"]
    found += [] if whole.checkpoint == other.checkpoint else ["Checkpoint digest"]
    found += [] if whole.run_log == other.run_log else ["RunLog digest"]
    return found
