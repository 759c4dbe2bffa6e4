"""Where things lie in the tree being graded, and digests of them. Imports no stage and no learner code."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.doors.exercise import STAGES, Exercise, exercise, exercises
from shared.doors.load import WORKSPACE


@dataclass(frozen=True)
class Workspace:
    """A tree with stages, graded tests and a learner's folder: the checkout itself, a release, or a test's own."""

    root: Path = WORKSPACE

    @property
    def learner(self) -> Path:
        """The learner's folder; it may not exist yet."""
        return self.root / "learner"

    @property
    def grades(self) -> Path:
        """Where the learner's results, hints seen and borrowed problems are kept."""
        return self.learner / ".grades"

    @property
    def build(self) -> Path:
        """Files that can be made again."""
        return self.root / "build" / "grader"

    def stages(self) -> tuple[str, ...]:
        """The stages that have exercises here, in order."""
        return tuple(name for name in STAGES if (self.root / name / "exercises.py").is_file())

    def exercises(self, stage: str) -> tuple[Exercise, ...]:
        """The stage's exercises. Raises: ContractError."""
        return exercises(stage, self.root)

    def chosen(self, stage: str, problem: str | None) -> tuple[Exercise, ...]:
        """One exercise, or all of the stage. Raises: ContractError: no such problem."""
        return (exercise(stage, problem, self.root),) if problem else self.exercises(stage)

    def test_files(self, stage: str, problem: str) -> list[Path]:
        """The graded tests of a problem: `test_<problem>.py`, there or not, and each `test_<problem>_<aspect>.py`."""
        first = self.test_file(stage, problem)
        return [first, *(path for path in self._test_files(stage).get(problem, ()) if path != first)]

    def test_file(self, stage: str, problem: str) -> Path:
        """The first of a problem's graded tests; without it there are none."""
        return self.root / "tests" / stage / f"test_{problem}.py"

    def stray_test_files(self, stage: str) -> list[Path]:
        """Files of graded tests that are no problem's: no grading would run them."""
        return self._test_files(stage).get("", [])

    def _test_files(self, stage: str) -> dict[str, list[Path]]:
        """Each problem's files that are there. The longest id wins: learning_rate_schedule, not learning_rate."""
        ids = sorted((e.id for e in self.exercises(stage)), key=len)
        found: dict[str, list[Path]] = {}
        for path in sorted((self.root / "tests" / stage).glob("test_*.py")):
            name = path.stem.removeprefix("test_") + "_"
            owner = [problem for problem in ids if name.startswith(f"{problem}_")]
            found.setdefault(owner[-1] if owner else "", []).append(path)
        return found

    def key_file(self, stage: str, problem: str) -> Path:
        """What checks the numbers of a problem."""
        return self.root / "tests" / stage / f"key_{problem}.py"


def digest(paths: Iterable[Path], base: Path) -> str:
    """SHA-256 over the names and contents of files, in sorted order."""
    total = hashlib.sha256()
    for path in sorted(set(paths)):
        total.update(f"{path.relative_to(base) if base in path.parents else path}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def sources(*folders: Path) -> list[Path]:
    """The Python files below these folders (or these files themselves), caches and hidden folders left out."""
    found = []
    for folder in folders:
        if folder.is_file():
            found.append(folder)
            continue
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).parts
            if not any(part.startswith(".") or part in ("__pycache__", "site-packages") for part in parts):
                found.append(path)
    return sorted(found)
