"""The words of a verdict: what can come of a test, a problem and a stage."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What a problem came to. Only PASSED earns points."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_STARTED = "not started"
    BORROWED = "borrowed"
    FORBIDDEN = "forbidden"
    NOT_CHECKED = "not checked"
    ERROR = "error"


BAD = (Outcome.FAILED, Outcome.FORBIDDEN, Outcome.ERROR)


@dataclass(frozen=True)
class Lesson:
    """A failure in parts, so that each page can lay it out: every part is plain text."""

    what: str
    why: str = ""
    counterexample: str = ""
    case: str = ""
    test: str = ""
    place: str = ""  # where in the learner's code it happened, when it happened there


@dataclass(frozen=True)
class TestGrade:
    """One graded test as it was reported, checked against the list of tests that were expected."""

    id: str
    outcome: str  # passed | failed | not checked | missing
    seconds: float = 0.0
    lesson: Lesson | None = None
    output: str = ""  # the end of what the learner's code printed meanwhile

    __test__ = False  # no test class, whatever pytest reads into the name


@dataclass(frozen=True)
class ProblemGrade:
    """One problem's verdict, formed outside the process that ran the learner's code."""

    id: str
    title: str
    points: float
    outcome: Outcome
    kind: str = "code"
    message: str = ""  # one or two lines: why this outcome, and what to do next
    failure: Lesson | None = None
    tests: tuple[TestGrade, ...] = ()
    why: str = ""
    hints: int = 0
    hints_unlocked: int = 0
    seconds: float = 0.0
    door: tuple[str, ...] = ()
    review: tuple[str, ...] = ()  # places that a teacher may want to look at; no part of the verdict
    handed_in: str = ""  # SHA-256 of the numbers and the text that were judged; empty for code
    deliverable: str = ""  # of a written problem: what is asked, what full points need, and what was written
    rubric: tuple[str, ...] = ()
    text: str = ""
    read_points: float | None = None  # what a person gave for it

    @property
    def earned(self) -> float:
        """The points: all of them or none; for a written answer, those that its reader gave."""
        if self.outcome is Outcome.NOT_CHECKED and self.read_points is not None:
            return self.read_points
        return self.points if self.outcome is Outcome.PASSED else 0.0


@dataclass(frozen=True)
class StageGrade:
    """The verdict on a stage."""

    stage: str
    impl: str
    problems: tuple[ProblemGrade, ...]
    sources: dict[str, str] = field(default_factory=dict)  # files of the implementation -> SHA-256
    seconds: float = 0.0
    graded_at: str = ""

    @property
    def earned(self) -> float:
        """Points earned."""
        return sum(problem.earned for problem in self.problems)

    @property
    def points(self) -> float:
        """Points that could be earned."""
        return sum(problem.points for problem in self.problems)

    @property
    def exit_code(self) -> int:
        """2 when something is an error, 1 when something failed or is forbidden, else 0. 0 does not mean complete."""
        outcomes = {problem.outcome for problem in self.problems}
        if Outcome.ERROR in outcomes or not self.problems:
            return 2
        return int(bool(outcomes & set(BAD)))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        out = asdict(self)
        for row, problem in zip(out["problems"], self.problems, strict=True):
            row["outcome"], row["earned"] = str(problem.outcome), problem.earned
        return {**out, "earned": self.earned, "points": self.points, "exit_code": self.exit_code}
