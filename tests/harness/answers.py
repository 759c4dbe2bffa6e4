"""The verdict on a problem's numbers: plain data from the learner's file against keys computed here and now.

Nothing of the learner's is imported or run. Keys are computed only when there is something to compare with them.
"""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.doors.exercise import Exercise, Question
from shared.doors.load import Source
from shared.doors.paper import ANSWERS, WRITEUP, Answers, handed_in, read_answers, read_writeup
from tests.harness.judge import blank
from tests.harness.keys import Check, Given, NotHere
from tests.harness.outcomes import Lesson, Outcome, ProblemGrade, TestGrade
from tests.harness.workspace import Workspace


class Paper:
    """What a submission holds besides code, and the verdicts on it."""

    def __init__(self, workspace: Workspace, stage: str, source: Source) -> None:
        self.workspace, self.stage = workspace, stage
        listed = workspace.exercises(stage)
        self.answers = read_answers(beside(source, ANSWERS), listed)
        self.texts = read_writeup(beside(source, WRITEUP), listed)

    def verdict(self, exercise: Exercise) -> ProblemGrade:
        """The verdict on a numeric or a written problem."""
        seen = handed_in(exercise.id, self.answers, self.texts)
        numbers = self.numbers(exercise) if exercise.questions else None
        if exercise.kind == "numeric" and numbers is not None:
            return replace(numbers, handed_in=seen)
        text = None if self.texts is None else self.texts.get(exercise.id, "")
        grade = written(exercise, text, numbers)
        facts = {"deliverable": exercise.deliverable, "rubric": exercise.rubric, "text": text or ""}
        return replace(grade, handed_in=seen, **facts)

    def numbers(self, exercise: Exercise) -> ProblemGrade:
        """The verdict on the numbers of a problem."""

        def checks() -> dict[str, Check]:
            return load_keys(self.workspace.key_file(self.stage, exercise.id)).CHECKS

        store = self.workspace.root / "artifacts"
        return judge_answers(exercise, self.answers, checks, store, self.stage)


def beside(source: Source, name: str) -> Path | None:
    """A file of the implementation, beside its adapters or at the root of its repository."""
    places = [source.file.parent / name]
    if source.kind == "path":
        places.append(source.import_root / name)
    return next((place for place in places if place.exists()), None)


def load_keys(path: Path) -> ModuleType:
    """The key file of a problem. Raises: ImportError."""
    spec = importlib.util.spec_from_file_location(f"_keys_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge_answers(
    exercise: Exercise, answers: Answers, load: Callable[[], dict[str, Check]], store: Path, stage: str
) -> ProblemGrade:
    """The verdict: each question right, wrong, still to give, or not checkable on this machine."""
    if answers.trouble:
        return blank(exercise, Outcome.ERROR, answers.trouble)
    given = answers.given(exercise.id)
    if not given:
        where = (
            f"write [{exercise.id}] in {ANSWERS}"
            if answers.is_there
            else f"make learn STAGE={stage} writes {ANSWERS}"
        )
        return blank(exercise, Outcome.NOT_STARTED, f"{len(exercise.questions)} answers to give: {where}")
    try:
        checks = load()
        absent = [q.id for q in exercise.questions if q.id not in checks]
        if absent:
            raise KeyError(f"no check for {', '.join(absent)}")
    except Exception as error:  # a broken key file judges nobody
        message = f"the keys of {exercise.id} do not load: {type(error).__name__}: {error}"
        return blank(exercise, Outcome.ERROR, message)
    tests = tuple(judge_one(q, given, checks[q.id], store) for q in exercise.questions)
    return _total(exercise, tests)


def judge_one(question: Question, given: dict[str, Any], check: Check, store: Path) -> TestGrade:
    """The verdict on one answer."""
    if question.id not in given:
        return TestGrade(question.id, "missing")
    answer = given[question.id]
    try:
        form = wrong_form(question, answer)
        said = form or check(as_value(question, answer), Given(question, given, store))
    except NotHere as missing:
        return TestGrade(question.id, "not checked", lesson=Lesson(what=question.asks, why=str(missing)))
    except (
        Exception
    ) as error:  # the key's mistake, or an artifact that is none: nobody's answer is wrong for it
        said = f"its check broke off: {type(error).__name__}: {error}"
        return TestGrade(question.id, "error", lesson=Lesson(what=question.asks, why=said, test=question.id))
    if not said:
        return TestGrade(question.id, "passed")
    lesson = Lesson(
        what=f"{question.id}: {question.asks} [{question.accepts}]",
        why="",  # the problem's own
        counterexample=f"you answered {str(answer)[:80]}\n{said}",
    )
    return TestGrade(question.id, "failed", lesson=lesson)


def wrong_form(question: Question, answer: Any) -> str:
    """What is wrong with how an answer is written; empty when nothing is."""
    if question.form == "number":
        if isinstance(answer, str):
            return "a text: write the number without quotes, unit, comma or expression (2.5e6)"
        if isinstance(answer, bool) or not isinstance(answer, (int, float)):
            return f"no number but {type(answer).__name__}: write a plain one (2.5e6)"
        if isinstance(answer, int) and abs(answer) > 10**300:
            return "a number beyond all that is counted here"
        return "" if math.isfinite(answer) else "not a finite number"
    if not isinstance(answer, str):
        return f"{question.unit}: write it in quotes"
    if question.form == "bytes":
        try:
            bytes.fromhex(answer)
        except ValueError:
            return 'bytes are written in hexadecimal, two digits each: "e2 82 ac"'
    return ""


def as_value(question: Question, answer: Any) -> Any:
    """The answer as its check takes it."""
    return bytes.fromhex(answer) if question.form == "bytes" else answer


def _total(exercise: Exercise, tests: tuple[TestGrade, ...]) -> ProblemGrade:
    by = {
        kind: [t for t in tests if t.outcome == kind]
        for kind in ("passed", "failed", "missing", "not checked", "error")
    }
    right = f"{len(by['passed'])} of {len(tests)} answers are right"
    waiting = [t.id for t in by["missing"]]
    to_give = f"; {len(waiting)} still to give: {shortened(waiting)}" if waiting else ""
    failure = None
    if by["error"]:
        failure = by["error"][0].lesson
        outcome, message = Outcome.ERROR, f"{by['error'][0].id}: {failure.why if failure else ''}"
    elif by["failed"]:
        outcome, failure = Outcome.FAILED, by["failed"][0].lesson
        message = f"{right}; wrong: {shortened([t.id for t in by['failed']])}{to_give}"
    elif by["missing"]:
        outcome, message = Outcome.FAILED, right + to_give
    elif by["not checked"]:
        lesson = by["not checked"][0].lesson
        outcome, message = Outcome.NOT_CHECKED, f"{right}; {lesson.why if lesson else ''}"
    else:
        outcome, message = Outcome.PASSED, f"{right}"
    return blank(exercise, outcome, message, failure=failure, tests=tests)


def shortened(names: list[str], most: int = 3) -> str:
    """The first few names of many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def written(exercise: Exercise, text: str | None, numbers: ProblemGrade | None) -> ProblemGrade:
    """The verdict on a written problem: wrong numbers fail it, and what is written waits for a person."""
    if numbers is not None and numbers.outcome in (Outcome.FAILED, Outcome.ERROR):
        return numbers
    tests = numbers.tests if numbers is not None else ()
    about = f" ({numbers.message})" if numbers is not None else ""
    if text == "" and (numbers is None or numbers.outcome is Outcome.NOT_STARTED):
        return blank(
            exercise, Outcome.NOT_STARTED, f"to write: ## {exercise.id} in {WRITEUP}{about}", tests=tests
        )
    if text == "":
        return blank(
            exercise, Outcome.NOT_STARTED, f"its text is to be written in {WRITEUP}{about}", tests=tests
        )
    message = f"a written answer: a person reads it{about}"
    return blank(exercise, Outcome.NOT_CHECKED, message, tests=tests)
