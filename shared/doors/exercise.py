"""The one shape of exercise metadata: what `aN_name/exercises.py` lists and all else reads."""

import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from shared.errors import ContractError

STAGES = ("a1_basics", "a2_systems", "a3_scaling", "a4_data", "a5_alignment")
"""The stages in their order; a workspace may hold only the first few."""


@dataclass(frozen=True)
class Question:
    """One answer in the learner's `answers.toml`; how it is checked stands in `tests/<stage>/key_<problem>.py`."""

    id: str  # its name in the problem's table
    asks: str  # a sentence or two, also written into the template
    unit: str  # of a number; for bytes and names, how they are written
    tolerance_fraction: float = 0.0  # how far a number may be off, relative to the key
    slack: float = 0.0  # how far it may be off besides, in its unit
    form: Literal["number", "bytes", "name"] = "number"  # bytes are hexadecimal; a name is an artifact's

    @property
    def accepts(self) -> str:
        """The unit and the tolerance, for people."""
        if self.form != "number":
            return self.unit
        if self.tolerance_fraction:
            return f"{self.unit}, within {100 * self.tolerance_fraction:g} %"
        return f"{self.unit}, within {self.slack:g}" if self.slack else f"{self.unit}, exact"


@dataclass(frozen=True)
class Exercise:
    """One graded problem: tests in `tests/<stage>/test_<id>.py`, mutants in `tests/mutants/<stage>/<id>/`.

    Numeric problems are checked from `answers.toml`. Written ones are read by a person beside the rubric; numbers
    that belong to them are checked too, and earn nothing by themselves.
    """

    id: str  # names the test file, the mutants' folder and PROBLEM=
    title: str
    points: float
    door: tuple[str, ...] = ()  # functions of the stage's door that this problem grades
    prerequisites: tuple[str, ...] = ()  # ids of problems of the same stage to solve before this one
    hints: tuple[str, ...] = ()  # rungs: from a nudge, through the idea, to nearly the solution
    why: str = ""  # one or two sentences: what goes wrong in a real model when this is wrong
    forbidden: tuple[str, ...] = ()  # dotted library names that are trapped while this problem's tests run
    kind: Literal["code", "written", "numeric"] = "code"
    deliverable: str = ""  # what to hand in; for code, its door functions when empty
    budget: str = ""  # size of a plain solution, or what its runs cost
    figures: str = ""  # what comes out, where we know it, or what must be reached
    small: str = ""  # the variant for a CPU that still teaches
    rubric: tuple[
        str, ...
    ] = ()  # what full points need, a sentence each; a person reads the answer beside it
    questions: tuple[Question, ...] = ()  # answers in answers.toml that are checked at once
    time_limit_seconds: float = 120.0  # wall clock of all tests of this problem, generous: never a speed test
    memory_limit_bytes: int = 4 * 2**30  # resident memory of the learner's whole process tree

    def __post_init__(self) -> None:
        """Raises: ContractError: a field that the grader could not work with."""
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.id):
            raise ContractError(
                f"exercise id {self.id!r} must be a lower-case word: it names a test file and a make variable"
            )
        if self.points < 0:
            raise ContractError(f"exercise {self.id!r} has {self.points} points; wanted 0 or more")
        for field in ("door", "prerequisites", "hints", "forbidden", "rubric", "questions"):
            if isinstance(getattr(self, field), str):
                raise ContractError(
                    f"exercise {self.id!r}: {field} must be a tuple of strings, got one string"
                )
        if self.kind == "code" and not self.door:
            raise ContractError(f"exercise {self.id!r} is of kind 'code' and names no door function")
        if self.kind == "numeric" and not self.questions:
            raise ContractError(f"exercise {self.id!r} is of kind 'numeric' and asks no question")
        names = [question.id for question in self.questions]
        if len(set(names)) != len(names) or not all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names):
            raise ContractError(f"exercise {self.id!r}: questions need single lower-case names, got {names}")


def exercises(stage: str, root: Path | None = None) -> tuple[Exercise, ...]:
    """The exercises of a stage in the order of its handout, read by path so that nothing else is imported.

    Raises:
        ContractError: no such stage here, or its list names an exercise twice, or an unknown prerequisite.
    """
    return checked(stage, _metadata(stage, root).EXERCISES)


def hooks(stage: str, root: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Hook of the door -> the problems that must pass before a learner's own hook is used; `HOOKS` of the list.

    Raises:
        ContractError: no such stage here.
    """
    return dict(getattr(_metadata(stage, root), "HOOKS", {}))


def _metadata(stage: str, root: Path | None) -> ModuleType:
    root = root or Path(__file__).resolve().parents[2]
    path = root / stage / "exercises.py"
    if stage not in STAGES or not path.is_file():
        found = ", ".join([name for name in STAGES if (root / name / "exercises.py").is_file()])
        raise ContractError(
            f"no stage {stage!r} with exercises in {root}; STAGE takes one of: {found or 'none yet'}"
        )
    spec = importlib.util.spec_from_file_location(f"_exercises_of_{stage}", path)
    if spec is None or spec.loader is None:
        raise ContractError(f"{path} cannot be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checked(stage: str, listed: Iterable[Exercise]) -> tuple[Exercise, ...]:
    """The same exercises, once every id is known to be single and every prerequisite to come before its use.

    Raises:
        ContractError: an id or a door function listed twice (save by a problem that goes on where one of its
            prerequisites ended), or a prerequisite that no earlier exercise has.
    """
    seen: dict[str, Exercise] = {}
    owner: dict[str, str] = {}
    for exercise in listed:
        if exercise.id in seen:
            raise ContractError(f"{stage}/exercises.py lists {exercise.id!r} twice")
        for wanted in exercise.prerequisites:
            if wanted not in seen:
                raise ContractError(
                    f"{stage}/exercises.py: {exercise.id!r} needs {wanted!r}, which no earlier exercise is"
                )
        for name in exercise.door:
            if name in owner and owner[name] not in exercise.prerequisites:
                raise ContractError(
                    f"{stage}/exercises.py: {name} belongs to {owner[name]!r} and {exercise.id!r}"
                )
            owner[name] = exercise.id
        seen[exercise.id] = exercise
    return tuple(seen.values())


def exercise(stage: str, problem: str, root: Path | None = None) -> Exercise:
    """The exercise with this id.

    Raises:
        ContractError: the stage has none of that id; the message lists those it has.
    """
    listed = exercises(stage, root)
    for candidate in listed:
        if candidate.id == problem:
            return candidate
    top = root or Path(__file__).resolve().parents[2]
    others = [name for name in STAGES if name != stage and (top / name / "exercises.py").is_file()]
    for other in others:
        if any(candidate.id == problem for candidate in exercises(other, root)):
            raise ContractError(
                f"{problem} is a problem of {other}, not of {stage}: STAGE={other} PROBLEM={problem}"
            )
    raise ContractError(
        f"stage {stage} has no problem {problem!r}; PROBLEM= takes one of: {', '.join(e.id for e in listed)}"
    )
