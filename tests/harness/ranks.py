"""Several ranks in one test: forks that meet over gloo, watched, timed, and brought home with what they found.

    def train(rank):
        model = adapters.get_ddp(module=toy_model())
        ...
        return dict(model.module.state_dict())

    first, second = on_ranks(2, train)

Forks have the implementation, the traps and the tests as they stand, and cost milliseconds where a new interpreter
costs seconds. They meet in a file, so no port is taken. The first rank that raises ends all, and its error, rank named,
is the test's; ranks that wait for one another for ever are a lesson about collectives, not a lost grading run.
"""

import io
import json
import os
import pickle
import selectors
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # seconds, and imported by the first hook or optimizer: once here, not once in every rank
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from tests.harness.explain import Lesson
from tests.harness.traps import ForbiddenCall
from tests.harness.waiting import Standstill, tell_when_asked, where

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.5
RECORDS: list[list[Any]] = []
"""Lists of the graded process (trapped calls, forbidden reads) to which those of its ranks are added."""

KINDS: dict[str, type[Exception]] = {"ForbiddenCall": ForbiddenCall}


class RankFailed(AssertionError):
    """A rank raised: which one, what, and where."""


def on_ranks(
    num_ranks: int, function: Callable[..., Any], *arguments: Any, wait_seconds: float = WAIT_SECONDS
) -> list[Any]:
    """`function(rank, *arguments)` on every rank of a gloo group; what each returned, by rank.

    Results are tensors, numbers, text, and containers of them: they come home as data, never as code.

    Raises:
        RankFailed: a rank raised, or ended without a word. ForbiddenCall: with a trapped function.
        Lesson: a rank failed a check, or the ranks were still waiting for one another after `wait_seconds`.
    """
    with tempfile.TemporaryDirectory() as folder:
        leash, held = (
            os.pipe()
        )  # ranks stay until this closes: one that left early would break the others' calls
        pipes = [os.pipe() for _ in range(num_ranks)]
        pids = []
        for rank in range(num_ranks):
            pid = os.fork()
            if pid == 0:
                for end in [
                    held,
                    *[end for end, _ in pipes],
                    *[end for _, end in pipes if end != pipes[rank][1]],
                ]:
                    os.close(end)
                _be_rank(rank, num_ranks, Path(folder), pipes[rank][1], function, arguments, wait_seconds)
                os.read(leash, 1)
                os._exit(0)
            pids.append(pid)
        for end in [leash, *[write for _, write in pipes]]:
            os.close(end)
        try:
            return _gather([end for end, _ in pipes], pids, Path(folder), time.monotonic() + wait_seconds)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
                os.waitpid(pid, 0)
            for end in [held, *[end for end, _ in pipes]]:
                os.close(end)


def _be_rank(
    rank: int,
    num_ranks: int,
    folder: Path,
    write: int,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    wait_seconds: float,
) -> None:
    before = [len(record) for record in RECORDS]
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_ranks)}
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if Path("/sys/class/net/lo").exists() else "lo0")
    tell_when_asked(folder, rank)
    said: dict[str, Any]
    try:
        dist.init_process_group(
            "gloo",
            store=dist.FileStore(str(folder / "meet"), num_ranks),
            rank=rank,
            world_size=num_ranks,
            timeout=timedelta(seconds=2 * wait_seconds),  # the parent's clock comes first, and can explain
        )
        said = {"result": function(rank, *arguments)}
    except BaseException as error:
        said = {"error": _told(error)}
    said["records"] = json.dumps(
        [record[start:] for record, start in zip(RECORDS, before, strict=True)], default=str
    )
    data = io.BytesIO()
    try:
        torch.save(said, data)
    except Exception as error:
        data = io.BytesIO()
        torch.save({"error": _told(error), "records": said["records"]}, data)
    with os.fdopen(write, "wb") as pipe:
        pipe.write(data.getvalue())


def _told(error: BaseException) -> dict[str, str]:
    trace = traceback.extract_tb(error.__traceback__)
    where = f"{trace[-1].filename}:{trace[-1].lineno}" if trace else ""
    told = {"kind": type(error).__name__, "text": str(error)[:2000], "where": where}
    if isinstance(error, Lesson):
        told |= {
            "what": error.what,
            "why": error.why,
            "counterexample": error.counterexample,
            "case": error.case,
        }
    return told


def _gather(ends: list[int], pids: list[int], folder: Path, deadline: float) -> list[Any]:
    """What the ranks say, as it comes: the first error ends the waiting for the others."""
    said: dict[int, bytes] = dict.fromkeys(range(len(ends)), b"")
    results: dict[int, Any] = {}
    standstill = Standstill()
    with selectors.DefaultSelector() as selector:
        for rank, end in enumerate(ends):
            selector.register(end, selectors.EVENT_READ, rank)
        while len(results) < len(ends):
            ready = selector.select(max(0.0, min(LOOK_SECONDS, deadline - time.monotonic())))
            left = [rank for rank in said if rank not in results]
            is_stuck = not ready and standstill.reached([pids[rank] for rank in left])
            if is_stuck or (not ready and time.monotonic() >= deadline):
                places = {rank: where(pids[rank], folder, rank) for rank in left}
                raise Lesson(
                    what="every rank comes to its end",
                    why="a collective waits until all ranks have called it, in the same order; one rank that calls "
                    "another, or none, stops the whole cluster without a word",
                    counterexample="\n".join(
                        f"rank {rank} of {len(ends)} {'waits' if is_stuck else 'still runs or waits'} {place}".rstrip()
                        for rank, place in places.items()
                    ),
                )
            for key, _ in ready:
                rank, part = key.data, os.read(key.fd, 1 << 20)
                said[rank] += part
                if not part:
                    selector.unregister(key.fd)
                    results[rank] = _result(rank, said[rank])
    return [results[rank] for rank in range(len(ends))]


def _result(rank: int, data: bytes) -> Any:
    if not data:
        raise RankFailed(f"rank {rank} ended without a word: killed, out of memory, or by os._exit")
    try:
        said = torch.load(io.BytesIO(data), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise RankFailed(
            f"rank {rank} returned something other than tensors and plain values: {error}"
        ) from None
    for record, more in zip(RECORDS, json.loads(said["records"]), strict=True):
        record.extend(more)
    if "error" not in said:
        return said["result"]
    error = said["error"]
    if error["kind"] == "Lesson":
        raise Lesson(error["what"], error["why"], error["counterexample"], f"rank {rank}; {error['case']}")
    text = f"rank {rank} raised {error['kind']}: {error['text']} ({error['where']})"
    raise KINDS.get(error["kind"], RankFailed)(text)


@dataclass
class Collectives(TorchDispatchMode):
    """What a rank sent, in order: each collective's name and bytes, and the marks set between them.

    Taken where torch hands work to the process group, so it does not matter by which name a collective was called.
    `mark("backward returned")` puts a word of the test's own in between.
    """

    calls: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def mark(self, word: str) -> None:
        """Note that something happened; its bytes are 0."""
        self.calls.append((word, 0))

    def count(self, name: str) -> int:
        """How many collectives of this name there were."""
        return sum(name == found for found, _ in self.calls)

    def sent_bytes(self, name: str) -> int:
        """The bytes of what was handed to collectives of this name."""
        return sum(size for found, size in self.calls if found == name)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        space, name = func.name().split("::")
        if space == "c10d":
            self.calls.append((name.split(".")[0].strip("_"), _bytes_of(args)))
        return func(*args, **(kwargs or {}))


def _bytes_of(value: Any) -> int:
    """The bytes of the largest operand: what an all-gather makes, what a reduce-scatter takes."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, (list, tuple)):
        sizes = [_bytes_of(item) for item in value]
        is_tensors = bool(value) and all(isinstance(item, torch.Tensor) for item in value)
        return sum(sizes) if is_tensors else max(sizes, default=0)
    return 0
