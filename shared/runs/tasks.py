"""Idempotent tasks: work cut into pieces that any number of workers may do, die in, and do again.

    tasks = [Task("part-0007", inputs={"part": digest}, config={"level": 3}), ...]
    outcomes = run_tasks(tasks, work, Path("runs/encode"), code=step_code)

`work(task, directory)` writes the task's output files into an empty directory. The directory then appears under its
final name in one rename, together with a completion marker that holds the digests of inputs, config, code and outputs:
a task is done or it is not, whoever was killed when. What decides the outcome is in the task's key, so a changed input,
setting or source makes another task, and the same command run again does what is missing and nothing else.

Workers need no coordinator: each walks over all tasks and takes what is not done and not leased (see `leases`). Several
controllers, on one host or many, may run the same tasks at once. Where two did the same task after all, the first
rename wins; the second compares digests, and work that is not deterministic is an error instead of a coin toss.
"""

import hashlib
import json
import multiprocessing
import os
import secrets
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError, ConfigError, WorkspaceError
from shared.runs.leases import Leases
from shared.runs.progress import progress
from shared.store import disk

MARKER = "done.json"
WAIT_SECONDS = 0.05  # between looks at tasks that others hold
DEATHS_PER_TASK = 3  # a task that its worker dies in so often is broken, not unlucky

Work = Callable[["Task", Path], None]


@dataclass(frozen=True)
class Task:
    """One piece of work; equal keys mean equal outputs."""

    name: str  # readable, a file name, the same for no other task of the set
    inputs: Mapping[str, str] = field(default_factory=dict)  # what it reads -> digest
    config: Mapping[str, Any] = field(default_factory=dict)  # what else decides the outcome; JSON values

    def key(self, code: str) -> str:
        """The digest of everything that decides the outcome."""
        facts = {"name": self.name, "inputs": dict(self.inputs), "config": dict(self.config), "code": code}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """A finished task: where its files are, and their SHA-256."""

    task: Task
    directory: Path
    outputs: Mapping[str, str]

    def file(self, name: str) -> Path:
        """An output file. Raises: ArtifactError: the task wrote no such file."""
        if name not in self.outputs:
            raise ArtifactError(
                f"task {self.task.name} wrote no {name!r}; it wrote: {', '.join(self.outputs)}"
            )
        return self.directory / name


class TaskFailedError(WorkspaceError):
    """A task that raised, or that its workers died in again and again."""

    exit_code = 1


def run_tasks(
    tasks: Sequence[Task],
    work: Work,
    directory: Path,
    *,
    code: str,
    num_workers: int = 1,
    lease_seconds: float = 60.0,
    label: str = "tasks",
) -> list[Outcome]:
    """Do what is not done yet, and return all outcomes in the order of the tasks.

    `code` is a digest of the sources that do the work (`step_key.source_digest`). With one worker all happens in this
    process; with more, in forks of it, and a worker that is killed is replaced.

    Raises:
        ConfigError: two tasks of one name.
        TaskFailedError: a task raised, or killed its worker three times; finished tasks stay finished.
        ArtifactError: the same task gave different outputs twice.
    """
    folder = TaskFolder(directory, code, lease_seconds)
    folder.check(tasks)
    with progress(len(tasks), label, "tasks") as bar:
        if num_workers <= 1:
            folder.work_through(tasks, work, on_done=lambda: bar.advance(1))
        else:
            _with_workers(folder, tasks, work, num_workers, bar.advance)
    outcomes = [folder.outcome(task) for task in tasks]
    missing = [task.name for task, outcome in zip(tasks, outcomes, strict=True) if outcome is None]
    if missing:
        raise TaskFailedError(
            f"{len(missing)} of {len(tasks)} tasks left no outcome, {missing[0]} first; "
            "run the same command again: it does only these"
        )
    folder.clear(tasks)
    return [outcome for outcome in outcomes if outcome is not None]


class TaskFolder:
    """The directory of a set of tasks: outcomes by key, drafts and leases beside them."""

    def __init__(self, directory: Path, code: str, lease_seconds: float = 60.0) -> None:
        self.directory, self.code = directory, code
        self.leases = Leases(directory / ".leases", lease_seconds)

    def check(self, tasks: Sequence[Task]) -> None:
        """Raises: ConfigError: a name twice, or one that is no file name."""
        seen: set[str] = set()
        for task in tasks:
            if task.name in seen or task.name != Path(task.name).name or task.name.startswith("."):
                raise ConfigError(
                    f"task name {task.name!r} is taken or no file name; each needs one of its own"
                )
            seen.add(task.name)

    def path(self, task: Task) -> Path:
        """Where the task's outputs appear."""
        return self.directory / f"{task.name}-{task.key(self.code)[:16]}"

    def drafts(self, task: Task) -> str:
        """How the names of the task's unfinished directories begin."""
        return f".draft-{task.key(self.code)[:16]}-"

    def clear(self, tasks: Sequence[Task]) -> None:
        """Remove what dead workers left of tasks that are done; a slow twin that still lives finds their outcome."""
        beginnings = {self.drafts(task) for task in tasks}
        for path in self.directory.glob(".draft-*"):
            if path.name[: len(".draft-") + 17] in beginnings:
                shutil.rmtree(path, ignore_errors=True)

    def outcome(self, task: Task, *, verify: bool = False) -> Outcome | None:
        """What the task left, or None; an outcome whose files do not fit its marker counts as none.

        Sizes are always compared; `verify` reads the files again.
        """
        path = self.path(task)
        try:
            marker = json.loads((path / MARKER).read_text(encoding="utf-8"))
            if marker["key"] != task.key(self.code):
                return None
            outputs = marker["outputs"]
            whole = all((path / name).stat().st_size == row["bytes"] for name, row in outputs.items())
            if whole and verify:
                whole = all(disk.sha256_of(path / name) == row["sha256"] for name, row in outputs.items())
        except (OSError, ValueError, KeyError):
            return None
        if not whole:
            return None
        return Outcome(task, path, {name: row["sha256"] for name, row in outputs.items()})

    def work_through(
        self, tasks: Sequence[Task], work: Work, *, start: int = 0, on_done: Callable[[], Any] = lambda: None
    ) -> None:
        """Do or await every task, beginning at `start`, so that workers meet late."""
        remaining = [*tasks[start:], *tasks[:start]]
        while remaining:
            held_elsewhere: list[Task] = []
            for task in remaining:
                if self.outcome(task) is None:
                    with self.leases.held(task.name) as lease:
                        if lease is None:
                            held_elsewhere.append(task)
                            continue
                        if self.outcome(task) is None:  # done by another between the look and the lease
                            self._do(task, work)
                on_done()
            if held_elsewhere:
                time.sleep(WAIT_SECONDS)
            remaining = held_elsewhere

    def _do(self, task: Task, work: Work) -> None:
        draft = self.directory / f"{self.drafts(task)}{secrets.token_hex(4)}"
        draft.mkdir(parents=True)
        try:
            began = time.monotonic()
            try:
                work(task, draft)
            except (WorkspaceError, KeyboardInterrupt):
                raise
            except Exception as error:
                if self.outcome(task) is not None:
                    return  # we were thought dead: another did the task, and cleared our draft away under us
                if disk.is_disk_full(error):
                    raise  # the program says what to do about a full disk
                raise TaskFailedError(
                    f"task {task.name} failed: {type(error).__name__}: {error}; the tasks that are done stay "
                    f"done, and the same command goes on with this one\n{traceback.format_exc()[-4000:]}"
                ) from error
            self._publish(task, draft, time.monotonic() - began)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _publish(self, task: Task, draft: Path, seconds: float) -> None:
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        outputs = {}
        for path in files:
            disk.sync_file(path)
            name = path.relative_to(draft).as_posix()
            outputs[name] = {"sha256": disk.sha256_of(path), "bytes": path.stat().st_size}
        marker = {
            "key": task.key(self.code),
            "name": task.name,
            "inputs": dict(task.inputs),
            "config": dict(task.config),
            "code": self.code,
            "outputs": outputs,
            "work_seconds": seconds,
        }
        disk.write_json(draft / MARKER, marker)
        disk.sync_directory(draft)
        final = self.path(task)
        try:
            draft.rename(final)
        except OSError:
            self._give_way(task, draft, final, outputs)
        disk.sync_directory(self.directory)

    def _give_way(
        self, task: Task, draft: Path, final: Path, outputs: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Something stands where ours should go: another's equal outcome, a damaged one, or a contradiction."""
        theirs = self.outcome(task, verify=True)
        if theirs is None:
            final.rename(self.directory / f"{self.drafts(task)}damaged-{secrets.token_hex(4)}")
            draft.rename(final)
            return
        different = [
            name
            for name in sorted({*outputs, *theirs.outputs})
            if outputs.get(name, {}).get("sha256") != theirs.outputs.get(name)
        ]
        if different:
            raise ArtifactError(
                f"task {task.name} gave different bytes twice from the same inputs, config and code: "
                f"{', '.join(different)}. Seed what it draws, sort what it lists, and keep times out of its files; "
                f"then remove {final}"
            )


def _with_workers(
    folder: TaskFolder,
    tasks: Sequence[Task],
    work: Work,
    num_workers: int,
    advance: Callable[[int], Any],
) -> None:
    """Forked workers until all tasks are done; one that dies is replaced, unless its task keeps killing."""
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    reports = context.SimpleQueue()
    deaths: Counter[str] = Counter()
    workers: dict[int, Any] = {}
    remaining = list(tasks)

    def start(number: int) -> None:
        begin = number * len(tasks) // num_workers
        workers[number] = context.Process(target=_worker, args=(folder, tasks, work, begin, reports))
        workers[number].start()

    try:
        for number in range(min(num_workers, len(tasks))):
            start(number)
        while workers:
            looked = time.monotonic()
            still = [task for task in remaining if not (folder.path(task) / MARKER).exists()]
            advance(len(remaining) - len(still))
            remaining = still
            time.sleep(max(WAIT_SECONDS, 10 * (time.monotonic() - looked)))
            for number, worker in list(workers.items()):
                if worker.is_alive():
                    continue
                worker.join()
                del workers[number]
                if worker.exitcode == 0:
                    continue
                if not reports.empty():
                    raise reports.get()
                fatal = folder.leases.name_held_by(worker.pid)
                deaths[fatal] += 1
                if deaths[fatal] >= DEATHS_PER_TASK:
                    raise TaskFailedError(
                        f"{deaths[fatal]} workers died in task {fatal or '(between tasks)'}, the last one with "
                        f"exit status {worker.exitcode} (-9 is often short memory); try fewer workers or smaller "
                        "tasks, then run the same command again: it does only what is missing"
                    )
                start(number)
    finally:
        for worker in workers.values():
            worker.terminate()
            worker.join()


def _worker(folder: TaskFolder, tasks: Sequence[Task], work: Work, start: int, reports: Any) -> None:
    parent = os.getppid()

    def end_with_the_controller() -> None:
        if os.getppid() != parent:
            os._exit(1)

    try:
        folder.work_through(tasks, work, start=start, on_done=end_with_the_controller)
    except BaseException as error:
        reports.put(error)
        sys.stderr.flush()
        os._exit(1)
