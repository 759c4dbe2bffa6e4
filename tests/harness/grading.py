"""Grading a stage: what to run, on how many warm processes, and what is known before anything runs."""

import ast
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import Any

from shared.doors import grades as ledger
from shared.doors.exercise import Exercise
from shared.doors.load import Source, locate
from shared.doors.stubs import is_stub
from tests.harness.answers import Paper
from tests.harness.judge import Expected, blank, judge
from tests.harness.outcomes import Outcome, ProblemGrade, StageGrade
from tests.harness.records import read_records
from tests.harness.review import copies_of_reference, imports_of_tests, worth_reading
from tests.harness.worker import Worker
from tests.harness.workspace import Workspace, digest, sources

CANARIES = Path(__file__).with_name("canaries.py")


@dataclass
class Grader:
    """Warm processes and the lists of expected tests, kept between gradings."""

    workspace: Workspace = field(default_factory=Workspace)
    jobs: int = field(default_factory=lambda: max(1, min(os.cpu_count() or 1, 8)))
    environment: dict[str, str] = field(default_factory=dict)
    time_limit_factor: float = 1.0
    _workers: "Queue[Worker]" = field(default_factory=Queue)
    _all: list[Worker] = field(default_factory=list)
    _expected: dict[tuple[str, ...], dict[str, Expected]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Grader":
        for _ in range(self.jobs):
            worker = Worker(self.environment)
            self._all.append(worker)
            self._workers.put(worker)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            worker.close()
        self._all, self._workers = [], Queue()

    def _run(self, job: dict[str, Any], exercise: Exercise | None) -> Any:
        """Run one job on the next free warm process."""
        worker = self._workers.get()
        try:
            return worker.run(
                {"root": str(self.workspace.root), "threads": 1, "marker": "-", **job},
                time_limit_seconds=(exercise.time_limit_seconds if exercise else 120.0)
                * self.time_limit_factor,
                memory_limit_bytes=exercise.memory_limit_bytes if exercise else 4 * 2**30,
            )
        finally:
            self._workers.put(worker)

    def expected(self, stage: str) -> dict[str, Expected]:
        """For each problem the tests that a complete run reports, collected with no implementation at hand."""
        listed = self.workspace.exercises(stage)
        files = {e.id: self.workspace.test_files(stage, e.id) for e in listed if e.kind == "code"}
        present = [path for paths in files.values() for path in paths if path.is_file()]
        state = tuple(f"{path}:{path.stat().st_mtime_ns}:{path.stat().st_size}" for path in present)
        with self._lock:
            if state not in self._expected:
                self._expected[state] = self._collect(stage, files)
            return self._expected[state]

    def _collect(self, stage: str, files: dict[str, list[Path]]) -> dict[str, Expected]:
        key = secrets.token_bytes(32)
        present = [str(path) for paths in files.values() for path in paths if path.is_file()]
        paths = [str(CANARIES), *present]
        report = self._run({"op": "collect", "stage": stage, "files": paths, "key": key.hex()}, None)
        records, damage = read_records(report.records, key)
        if damage or len(records) != 1:
            raise RuntimeError(f"the graded tests could not be collected: {report.output.decode()[-2000:]}")
        found = records[0]
        by_file: dict[str, list[dict[str, Any]]] = {}
        for test in found["tests"]:
            by_file.setdefault(str(Path(test["file"]).resolve()), []).append(test)
        canaries = tuple(test["id"] for test in by_file.get(str(CANARIES.resolve()), []))
        errors = {Path(error["file"]).name: error["text"] for error in found["errors"]}
        out = {}
        for problem, paths in files.items():
            tests: list[dict[str, Any]] = []
            trouble = "" if canaries else "the grader's canaries were not collected"
            for path in paths:
                own, name = by_file.get(str(path.resolve()), []), f"tests/{stage}/{path.name}"
                tests += own
                if not path.is_file():
                    trouble = f"no test was collected: {name} is not there"
                elif path.name in errors:
                    trouble = f"no test was collected: {name} does not load: {errors[path.name][-600:]}"
                elif any(test["xfail"] for test in own):
                    trouble = f"{name} marks a graded test as expected to fail: it would check nothing"
                elif not own:
                    trouble = f"no test was collected: {name} holds none"
            skips = {test["id"]: test["skip"] for test in tests if test["skip"] is not None}
            out[problem] = Expected(tuple(test["id"] for test in tests), skips, canaries, trouble)
        return out

    def run_problem(
        self, stage: str, exercise: Exercise, impl: str, *, guarded: bool, overlay: Path | None = None
    ) -> ProblemGrade:
        """Run one problem's tests on one implementation and judge what comes back."""
        expected = self.expected(stage)[exercise.id]
        key, marker = secrets.token_bytes(32), secrets.token_hex(16)
        job = {
            "op": "run",
            "stage": stage,
            "source": locate(stage, impl, self.workspace.root).packed(),
            "overlay": str(overlay) if overlay else None,
            "files": [str(path) for path in self.workspace.test_files(stage, exercise.id)],
            "door": list(exercise.door),
            "forbidden": list(exercise.forbidden),
            "guarded": guarded,
            "key": key.hex(),
            "marker": marker,
            "threads": max(1, (os.cpu_count() or 1) // self.jobs),
        }
        if expected.problem or not expected.tests:
            job["files"] = []
        before = self._rules(stage)
        grade = judge(exercise, expected, self._run(job, exercise), key, marker)
        if self._rules(stage) != before:
            message = "the tests or the grader changed on disk during this run: grade again, or look who wrote there"
            return blank(exercise, Outcome.ERROR, message, tests=grade.tests, seconds=grade.seconds)
        return grade

    def _rules(self, stage: str) -> str:
        """A digest of everything that judges: the graded tests, the oracles and the grader itself."""
        root = self.workspace.root
        folders = [root / "tests" / stage, root / "tests" / "oracles", CANARIES.parent]
        return digest([CANARIES.with_name("pytest.ini"), *sources(*[f for f in folders if f.is_dir()])], root)

    def grade(
        self,
        stage: str,
        impl: str,
        problem: str | None = None,
        *,
        on_problem: Callable[[ProblemGrade], None] = lambda _: None,
        order: Callable[[Exercise], Any] = lambda _: 0,
    ) -> StageGrade:
        """Grade a stage, or one problem of it. Raises: ContractError: no such stage, problem or implementation."""
        began = time.monotonic()
        chosen = self.workspace.chosen(stage, problem)
        source = locate(stage, impl, self.workspace.root)
        files = own_files(source)
        before = {str(path.relative_to(source.import_root)): _sha256(path) for path in files}
        known = Known(self.workspace, stage, source, files)

        def one(exercise: Exercise) -> ProblemGrade:
            grade = verdicts[exercise.id]
            if grade is None:
                grade = self.run_problem(stage, exercise, impl, guarded=impl != "reference")
            grade = known.finish(exercise, grade)
            on_problem(grade)
            return grade

        verdicts = {e.id: known.verdict(e) for e in chosen}
        if None in verdicts.values():  # some code to run
            for worker in self._all:  # all of them warm up while the first one lists the tests
                worker.start()
        ordered = sorted(chosen, key=order)
        with ThreadPoolExecutor(self.jobs) as pool:
            done = dict(zip([e.id for e in ordered], pool.map(one, ordered), strict=True))
        return StageGrade(
            stage,
            impl,
            tuple(done[e.id] for e in chosen),
            before,
            time.monotonic() - began,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )


class Known:
    """What can be said without running anything: stubs, borrowed problems, imports of the tests, plain copies."""

    def __init__(self, workspace: Workspace, stage: str, source: Source, files: list[Path]) -> None:
        self.stage, self.source, self.impl = stage, source, source.impl
        self.paper = Paper(workspace, stage, source)
        self.is_learner = source.kind == "learner"
        self.borrowed = ledger.borrowed_problems(workspace.learner, stage) if self.is_learner else set()
        self.unlocked = ledger.hints_seen(workspace.learner, stage) if self.is_learner else {}
        self.copies = self.tests = self.review = ()
        if source.kind != "reference":
            self.copies = tuple(copies_of_reference(files, workspace.root / stage, source))
            self.tests = tuple(imports_of_tests(files, source, workspace.root))
            self.review = tuple(worth_reading(files, source))
        try:
            self.tree: ast.Module | None = ast.parse(source.file.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            self.tree = None  # the run will say where

    def verdict(self, exercise: Exercise) -> ProblemGrade | None:
        """The outcome when it is known already, else None."""
        if exercise.kind != "code":
            return self.paper.verdict(exercise)
        if self.copies:
            return blank(
                exercise,
                Outcome.ERROR,
                f"the reference was found behind this door: {self.copies[0]} is a copy of it",
            )
        if self.tree is not None and self.source.kind != "reference":
            stubs = [name for name in exercise.door if is_stub(self.tree, name)]
            if len(stubs) == len(exercise.door):
                if exercise.id in self.borrowed:
                    return blank(exercise, Outcome.BORROWED, "the reference's solution stands in for it")
                missing = ", ".join(stubs)
                return blank(exercise, Outcome.NOT_STARTED, f"to write: {missing}")
        if self.tests:
            return blank(exercise, Outcome.FORBIDDEN, f"{self.tests[0]}: code may not import what grades it")
        return None

    def finish(self, exercise: Exercise, grade: ProblemGrade) -> ProblemGrade:
        """Add what only the grader knows: hints unlocked, a borrowed problem's standing, places to read."""
        if grade.outcome in (Outcome.FAILED, Outcome.NOT_STARTED) and exercise.id in self.borrowed:
            attempt = f"your own attempt does not pass yet: {grade.message}"
            grade = replace(grade, outcome=Outcome.BORROWED, message=attempt)
        unlocked = min(len(exercise.hints), 1 + self.unlocked.get(exercise.id, 0))
        return replace(grade, hints_unlocked=unlocked, review=self.review)


def own_files(source: Source) -> list[Path]:
    """The implementation's Python files that can matter to this stage."""
    if source.kind in ("learner", "reference"):
        return sources(source.file.parent)
    return sources(*source.own)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def missing_prerequisites(stage_grade: StageGrade, exercises: Iterable[Exercise]) -> dict[str, list[str]]:
    """For each problem that is not passed: which problems to solve before it."""
    passed = {p.id for p in stage_grade.problems if p.outcome is Outcome.PASSED}
    return {e.id: [r for r in e.prerequisites if r not in passed] for e in exercises if e.id not in passed}
