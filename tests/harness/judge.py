"""The verdict on one problem, formed from what was expected and what came back. Pure: it runs nothing.

Whatever is missing, extra, doubled, unsigned or out of order makes an error; only a complete run in which every
expected test is reported as passed, and every canary as failed, is a pass.
"""

import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.doors.exercise import Exercise
from tests.harness.outcomes import Lesson, Outcome, ProblemGrade, TestGrade
from tests.harness.records import read_records
from tests.harness.worker import Report

MAX_SHOWN_OUTPUT = 4000


@dataclass(frozen=True)
class Expected:
    """The tests of one problem, as collected without any implementation."""

    tests: tuple[str, ...]
    skips: dict[str, str]  # tests that this machine cannot run, and why
    canaries: tuple[str, ...]
    problem: str = ""  # why there is nothing to expect

    @property
    def to_run(self) -> set[str]:
        """The tests that must each be reported as passed or failed."""
        return set(self.tests) - set(self.skips)


def judge(exercise: Exercise, expected: Expected, report: Report, key: bytes, marker: str) -> ProblemGrade:
    """The verdict on a run of this problem's tests."""
    verdict = _Verdict(exercise, expected, report, key, marker)
    outcome, message = verdict.outcome()
    failure = (
        verdict.first_failure() if outcome in (Outcome.FAILED, Outcome.FORBIDDEN, Outcome.ERROR) else None
    )
    return blank(exercise, outcome, message, failure=failure, tests=verdict.grades, seconds=report.seconds)


def blank(exercise: Exercise, outcome: Outcome, message: str, **more: Any) -> ProblemGrade:
    """A verdict with the exercise's own facts filled in."""
    return ProblemGrade(
        id=exercise.id,
        title=exercise.title,
        points=exercise.points,
        outcome=outcome,
        kind=exercise.kind,
        message=message,
        why=exercise.why,
        hints=len(exercise.hints),
        door=exercise.door,
        **more,
    )


class _Verdict:
    def __init__(
        self, exercise: Exercise, expected: Expected, report: Report, key: bytes, marker: str
    ) -> None:
        self.exercise, self.expected, self.report = exercise, expected, report
        self.records, self.damage = read_records(report.records, key)
        self.by_event: dict[str, list[dict[str, Any]]] = {}
        for record in self.records:
            self.by_event.setdefault(record["event"], []).append(record)
        self.results = self.by_event.get("result", [])
        self.finished = (self.by_event.get("finished") or [{}])[0]
        self.printed = _printed(report.output, marker)
        self.grades = tuple(self._grade(test) for test in expected.tests)

    def _grade(self, test: str) -> TestGrade:
        if test in self.expected.skips:
            lesson = Lesson(what=self.expected.skips[test])
            return TestGrade(test, "not checked", lesson=lesson)
        found = [record for record in self.results if record["test"] == test]
        if len(found) != 1:
            return TestGrade(test, "missing", output=self.printed.get(test, ""))
        record = found[0]
        given = record.get("lesson") or {}
        lesson = None
        if record["outcome"] != "passed":
            parts = {k: str(given.get(k, "")) for k in ("what", "why", "counterexample", "case", "place")}
            lesson = Lesson(**parts, test=test)
        outcome = "passed" if record["outcome"] == "passed" else "failed"
        return TestGrade(test, outcome, float(record["seconds"]), lesson, self.printed.get(test, ""))

    def running(self) -> str:
        """The test that had begun and did not end, for a run that was cut off."""
        begun = [record["test"] for record in self.by_event.get("start", [])]
        ended = {record["test"] for record in self.results}
        left = [test for test in begun if test not in ended]
        return left[-1] if left else ""

    def first_failure(self) -> Lesson | None:
        """What to show: the first failed test of what is written, or where the run broke off."""
        imported = self.by_event.get("import_error")
        if imported:
            return Lesson(
                what="the module imports", counterexample=imported[0]["text"], place=imported[0]["place"]
            )
        unwritten = {record["test"] for record in self.results if _is_unwritten(record["lesson"] or {})}
        failed = [grade for grade in self.grades if grade.outcome == "failed"]
        failed.sort(key=lambda grade: grade.id in unwritten)
        if failed:
            return failed[0].lesson
        where = self.running()
        return Lesson(what=f"{_short(where)} comes to an end", test=where) if where else None

    def outcome(self) -> tuple[Outcome, str]:
        """The verdict and one line about it. The order of the checks is the order of suspicion."""
        if self.expected.problem:
            return Outcome.ERROR, self.expected.problem
        if not self.expected.tests:
            return Outcome.ERROR, "no test was collected for this problem: nothing was checked"
        for check in (
            self._tampering,
            self._reference,
            self._forbidden,
            self._stopped,
            self._imports,
            self._crash,
        ):
            found = check()
            if found:
                return found
        incomplete = self._incomplete()
        if incomplete:
            return Outcome.ERROR, incomplete
        if not self.expected.to_run:
            reasons = "; ".join(sorted(set(self.expected.skips.values())))
            return Outcome.NOT_CHECKED, f"this machine cannot run its tests: {reasons}"
        return self._failures()

    def _tampering(self) -> tuple[Outcome, str] | None:
        if self.damage:
            return Outcome.ERROR, f"tampering: {self.damage}"
        outcomes = {record["test"]: record["outcome"] for record in self.results}
        for canary in self.expected.canaries:
            wanted = "passed" if canary.endswith("may_pass_too") else "failed"
            if canary in outcomes and outcomes[canary] != wanted:
                return (
                    Outcome.ERROR,
                    f"tampering: a canary that must have {wanted} is reported as {outcomes[canary]}",
                )
        frame = (self.by_event.get("frame") or [{}])[0]
        if frame:
            where = f"{Path(frame['file']).name}:{frame['line']}"
            return (
                Outcome.ERROR,
                f"tampering: {where} takes hold of {frame['what']}, behind which the grader's own state lies; "
                "a solution does not need it",
            )
        broken = self.finished.get("seals", [])
        if broken:
            names = ", ".join(broken[:3])
            return (
                Outcome.ERROR,
                f"tampering: the code under grading replaced {names}, which the grader relies on",
            )
        return None

    def _reference(self) -> tuple[Outcome, str] | None:
        imported = self.finished.get("reference", [])
        if imported:
            return Outcome.ERROR, (
                f"the reference was found behind this door: it reads {imported[0]}. To carry on with the "
                f"reference's solution, say so: make borrow PROBLEM={self.exercise.id}"
            )
        behind = self.by_event.get("reference")
        if behind:
            names = ", ".join(behind[0]["names"])
            return (
                Outcome.ERROR,
                f"the reference was found behind this door: {names} is the reference's own code",
            )
        return None

    def _forbidden(self) -> tuple[Outcome, str] | None:
        hits = self.finished.get("forbidden", [])
        if hits:
            where = f" ({Path(hits[0]['file']).name}:{hits[0]['line']})" if hits[0]["file"] else ""
            return Outcome.FORBIDDEN, f"{hits[0]['name']}{where} is what this problem asks you to build"
        tests = self.finished.get("tests", [])
        if tests:
            where = f"{Path(tests[0]['file']).name}:{tests[0]['line']}"
            return (
                Outcome.FORBIDDEN,
                f"{where} {tests[0]['does']} {tests[0]['name']}: code may not import or read what grades it",
            )
        return None

    def _stopped(self) -> tuple[Outcome, str] | None:
        stopped, detail = self.report.stopped, self.report.detail
        where = f" in {_short(self.running())}" if self.running() else ""
        if stopped == "time":
            return Outcome.FAILED, f"stopped{where}: it ran for {detail}"
        if stopped == "memory":
            return Outcome.FAILED, f"stopped{where}: it used {detail}"
        if stopped == "output":
            return Outcome.ERROR, f"stopped{where}: {detail}"
        if stopped:
            return Outcome.ERROR, f"stopped{where}: the grader's private pipe was flooded"
        return None

    def _imports(self) -> tuple[Outcome, str] | None:
        imported = self.by_event.get("import_error")
        if imported:
            return Outcome.ERROR, "the code does not import, so nothing could be checked"
        broken = self.by_event.get("collect_error")
        if broken:
            return (
                Outcome.ERROR,
                f"the tests themselves did not load beside this code: {broken[0]['text'][-300:]}",
            )
        return None

    def _crash(self) -> tuple[Outcome, str] | None:
        status = self.report.exit_status
        where = f" in {_short(self.running())}" if self.running() else ""
        if status is None:
            return Outcome.ERROR, f"the run was lost{where}: {self.report.detail or 'no exit status'}"
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return Outcome.ERROR, f"the process was killed by {name}{where}"
        code = os.waitstatus_to_exitcode(status)
        if code != 0 or not self.finished:
            return (
                Outcome.ERROR,
                f"the process ended by itself{where} (exit status {code}) before all was reported"
                + _last_words(self.report.output),
            )
        return None

    def _incomplete(self) -> str:
        wanted = Counter([*self.expected.tests, *self.expected.canaries])
        selected = Counter(self.by_event.get("selected", [{"tests": []}])[0]["tests"])
        if selected != wanted:
            missing, extra = list(wanted - selected), list(selected - wanted)
            return f"the run collected other tests than expected: missing {missing[:3]}, unknown {extra[:3]}"
        got = Counter(record["test"] for record in self.results)
        for test in wanted:
            if got[test] != 1:
                return f"{_short(test)} was reported {got[test]} times; wanted once"
        unknown = set(got) - set(wanted)
        if unknown:
            return f"a test that nobody asked for was reported: {sorted(unknown)[0]}"
        for record in self.results:
            is_meant = record["test"] in self.expected.skips
            if record["outcome"] == "skipped" and not is_meant:
                return f"{_short(record['test'])} was skipped while it ran: a skipped check checks nothing"
            if record["outcome"] not in ("passed", "failed", "skipped"):
                return (
                    f"{_short(record['test'])} was reported as {record['outcome']!r}; wanted passed or failed"
                )
        return ""

    def _failures(self) -> tuple[Outcome, str]:
        run = [record for record in self.results if record["test"] in self.expected.to_run]
        failed = [record for record in run if record["outcome"] != "passed"]
        skipped = len(self.expected.tests) - len(run)
        note = f"; {skipped} not checked here" if skipped else ""
        if not failed:
            return Outcome.PASSED, f"all {len(run)} checks hold{note}"
        lessons = [record["lesson"] or {} for record in failed]
        if all(map(_is_unwritten, lessons)) and len(failed) == len(run):
            return Outcome.NOT_STARTED, "what the door calls only raises NotImplementedError"
        return Outcome.FAILED, f"{len(failed)} of {len(run)} checks fail{note}"


def _is_unwritten(lesson: dict[str, str]) -> bool:
    """Whether a stub was reached. torch raises this type as well: it must come from a line that says so."""
    is_its_type = lesson.get("type") == "NotImplementedError"
    return is_its_type and "raise NotImplementedError" in lesson.get("place", "")


def _short(test: str) -> str:
    return test.rpartition("::")[2]


def _last_words(output: bytes) -> str:
    """The last line that a process printed before it ended, as the end of a sentence; empty when there is none."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    said = [line for line in lines if "::" not in line and line.strip(".FEs")]  # no marks of the test runner
    return f"; its last words: {said[-1][:200]}" if said else ""


def _printed(output: bytes, marker: str) -> dict[str, str]:
    """What was printed during each test: the end of it."""
    found: dict[str, str] = {}
    for part in output.split(f"\n{marker} ".encode())[1:]:
        name, _, text = part.partition(b"\n")
        shown = text.decode(errors="replace").strip("\n.FEs")
        if shown.strip():
            found[name.decode(errors="replace")] = shown[-MAX_SHOWN_OUTPUT:]
    return found
