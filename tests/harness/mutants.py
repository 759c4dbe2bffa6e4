"""Show that the grader rejects wrong code: the kill matrix of a stage.

    python -m tests.harness.mutants --stage a1_basics [--problem rope]

Each mutant (`tests/mutants/<stage>/<problem>/<name>.py`) replaces some door functions of the reference by wrong ones
and names, in `REJECTED_BY`, the test that must reject it ("forbidden" when it is the trap that must); one that differs
from a correct solution by a few lines shows these alone (`tests.harness.derived`). Besides: the
reference passes every problem, the alternatives pass what they solve, and bare stubs are all not started. For numbers
the same holds of `.toml` files: wrong answers over the reference's, each naming the question that must reject it.
Results are kept under build/ by the digests of everything that decides them, so a second run does only what changed.
"""

import ast
import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from shared.doors.exercise import Exercise
from shared.doors.paper import ANSWERS, Answers
from shared.doors.scaffold import write_stubs
from shared.errors import ContractError
from tests.harness import commands
from tests.harness.answers import judge_answers, load_keys
from tests.harness.derived import base_file, changed
from tests.harness.files import write_text
from tests.harness.grading import Grader
from tests.harness.outcomes import Outcome, ProblemGrade
from tests.harness.traps import resolve
from tests.harness.workspace import Workspace, digest, sources

LIBRARIES = ("torch", "numpy", "hypothesis", "pytest")
"""Whose versions can change a verdict without a change in the tree."""


@dataclass(frozen=True)
class Trial:
    """One implementation against one problem's tests, and what must come of it."""

    kind: str  # mutant | alternative | reference
    problem: str
    name: str
    file: Path | None = None
    rejected_by: str = ""
    about: str = ""
    base: Path | None = None  # the solution that a mutant is told as a change of

    @property
    def is_numbers(self) -> bool:
        """Whether answers are tried rather than code."""
        return self.file is not None and self.file.suffix == ".toml"

    def complaint(self, row: dict[str, Any]) -> str:
        """Why a result is not what it must be; empty when it is."""
        if self.kind != "mutant":
            return "" if row["outcome"] == Outcome.PASSED else f"{row['outcome']}: {row['message']}"
        if row["outcome"] == Outcome.PASSED:
            return "survives: it is wrong and every check passes"
        if self.rejected_by == "forbidden":
            return "" if row["outcome"] == Outcome.FORBIDDEN else f"wanted forbidden, got {row['outcome']}"
        if row["outcome"] == Outcome.ERROR:
            return f"an error, not a rejection: {row['message']}"
        if self.rejected_by not in row["failed"]:
            killers = ", ".join(row["failed"][:3]) or row["message"]
            return f"{self.rejected_by} lets it pass; it was rejected by {killers}"
        return ""


def constants(path: Path) -> dict[str, Any]:
    """The module's docstring and its literal top-level constants, without running it; of answers likewise."""
    if path.suffix == ".toml":
        text = path.read_text(encoding="utf-8")
        top = {key.upper(): tuple(v) if isinstance(v, list) else v for key, v in tomllib.loads(text).items()}
        return {
            "__doc__": text.partition("\n")[0].removeprefix("#").strip() if text[:1] == "#" else "",
            **top,
        }
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = {"__doc__": ast.get_docstring(tree) or ""}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def trials(workspace: Workspace, stage: str, exercises: tuple[Exercise, ...]) -> Iterator[Trial]:
    """Everything to try. Raises: ContractError: a mutant or an alternative that does not say what it must."""
    chosen = {e.id for e in exercises if e.kind == "code" or has_own_answers(e)}
    everyone = {e.id for e in workspace.exercises(stage)}
    for exercise in exercises:
        if exercise.id in chosen:
            answers = workspace.root / stage / ANSWERS if exercise.kind != "code" else None
            yield Trial("reference", exercise.id, "reference", answers)
    folder = workspace.root / "tests" / "mutants" / stage
    for path in sorted([*folder.glob("*/*.py"), *folder.glob("*/*.toml")]):
        problem = path.parent.name
        if problem not in everyone:
            raise ContractError(f"{path}: {stage} has no problem {problem!r}")
        if problem not in chosen:
            continue
        said = constants(path)
        if not said["__doc__"] or not isinstance(said.get("REJECTED_BY"), str):
            raise ContractError(
                f"{path}: a mutant says what is wrong (docstring) and REJECTED_BY = 'test_...'"
            )
        about = said["__doc__"].partition("\n")[0]
        base = base_file(workspace, stage, said)
        if base:
            changed(base, path, said.get("CHANGES"))
        yield Trial("mutant", problem, path.stem, path, said["REJECTED_BY"], about, base)
    others = workspace.root / "tests" / "alternatives" / stage
    for path in sorted([*others.glob("*.py"), *others.glob("*.toml")]):
        solves = constants(path).get("SOLVES")
        if not isinstance(solves, tuple) or not set(solves) <= everyone:
            raise ContractError(
                f"{path}: an alternative says SOLVES = (problem ids of {stage}), got {solves!r}"
            )
        for problem in solves:
            if problem in chosen:
                yield Trial("alternative", problem, path.stem, path)


def has_own_answers(exercise: Exercise) -> bool:
    """Whether a problem's numbers can be answered without a learner's artifacts."""
    return bool(exercise.questions) and all(question.form != "name" for question in exercise.questions)


def judged(workspace: Workspace, stage: str, exercise: Exercise, trial: Trial) -> ProblemGrade:
    """The verdict on the reference's answers with those of a trial in their place."""
    tables = tomllib.loads((workspace.root / stage / ANSWERS).read_text(encoding="utf-8"))
    tried = tomllib.loads(trial.file.read_text(encoding="utf-8")) if trial.file else {}
    table = {**tables[exercise.id], **tried.get(exercise.id, {})}
    keys = load_keys(workspace.key_file(stage, exercise.id))
    answers = Answers({exercise.id: table}, is_there=True)
    return judge_answers(exercise, answers, lambda: keys.CHECKS, workspace.root / "artifacts", stage)


def code_of(workspace: Workspace, stage: str, trial: Trial) -> Path | None:
    """The file to lay over the reference: the trial's own, or what its changes make of its base."""
    if trial.base is None or trial.file is None:
        return trial.file
    made = workspace.build / "derived" / stage / trial.problem / trial.file.name
    write_text(made, changed(trial.base, trial.file, constants(trial.file).get("CHANGES")))
    return made


class Memory:
    """Results by what decides them: the code tried, its problem's tests, what tests share, the oracles, the harness,
    the reference and all of `shared`, under this Python and these versions of the libraries."""

    def __init__(self, workspace: Workspace, stage: str) -> None:
        self.workspace, self.stage = workspace, stage
        self.path = workspace.build / f"mutants-{stage}.json"
        try:
            self.rows: dict[str, dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            self.rows = {}
        root = workspace.root
        base = [root / stage, root / "shared", root / "tests" / "oracles", Path(__file__).parent]
        graded = (root / "tests" / stage).glob("*.py")
        shared_by_tests = [path for path in graded if not path.name.startswith(("test_", "key_"))]
        files = digest([*sources(*[folder for folder in base if folder.exists()]), *shared_by_tests], root)
        ran_under = [sys.version, *(f"{name} {version(name)}" for name in LIBRARIES)]
        self._base = hashlib.sha256("\n".join([files, *ran_under]).encode()).hexdigest()

    def key(self, trial: Trial) -> str:
        """The digest under which a trial's result is kept."""
        tests = self.workspace.test_files(self.stage, trial.problem)
        files = [p for p in (*tests, trial.file, trial.base) if p is not None and p.is_file()]
        return f"{trial.kind}/{trial.problem}/{trial.name}/{digest(files, self.workspace.root)[:16]}{self._base[:16]}"

    def keep(self, trial: Trial, row: dict[str, Any]) -> None:
        """Save a result at once: a run that is cut off goes on from here."""
        prefix = f"{trial.kind}/{trial.problem}/{trial.name}/"
        self.rows = {k: v for k, v in self.rows.items() if not k.startswith(prefix)}
        self.rows[self.key(trial)] = row
        write_text(self.path, json.dumps(self.rows, indent=1) + "\n")


def as_row(grade: ProblemGrade) -> dict[str, Any]:
    """What of a verdict is kept: failed tests by function name, parameters cut off; questions that are not right."""
    bad = ("failed",) if grade.kind == "code" else ("failed", "missing")
    failed = [t.id.rpartition("::")[2].partition("[")[0] for t in grade.tests if t.outcome in bad]
    return {
        "outcome": str(grade.outcome),
        "message": grade.message,
        "failed": list(dict.fromkeys(failed)),
        "seconds": round(grade.seconds, 2),
    }


def main(argv: list[str] | None = None) -> int:
    """Run what is not known yet and print the matrix; 1 when anything is not as it must be."""
    arguments = commands.parser(
        "mutants", "Show that each known wrong solution is rejected by the test it names."
    )
    arguments.add_argument("--jobs", type=int, help="runs side by side (default: one per core)")
    arguments.add_argument("--fresh", action="store_true", help="forget what is known from earlier runs")
    arguments.add_argument("--verbose", action="store_true", help="every test that rejects each mutant")
    chosen = commands.parse(arguments, argv)
    workspace, stage, console = chosen.workspace, chosen.stage, Console(highlight=False, soft_wrap=True)
    exercises = workspace.chosen(stage, chosen.problem)
    listed = list(trials(workspace, stage, exercises))
    memory = Memory(workspace, stage)
    if chosen.fresh:
        memory.rows = {}
    # An error is no verdict (the tests changed during the run, a process broke off), so it is tried again.
    done_before = {key for key, row in memory.rows.items() if row["outcome"] != Outcome.ERROR}
    todo = [trial for trial in listed if trial.is_numbers or memory.key(trial) not in done_before]
    console.print(f"[bold]{stage}[/]: {len(listed)} trials, {len(todo)} to run")
    complaints: list[str] = []
    with Grader(workspace, **({"jobs": chosen.jobs} if chosen.jobs else {})) as grader:
        by_id = {e.id: e for e in exercises}

        def run(trial: Trial) -> ProblemGrade:
            if trial.is_numbers:
                return judged(workspace, stage, by_id[trial.problem], trial)
            code = code_of(workspace, stage, trial)
            return grader.run_problem(stage, by_id[trial.problem], "reference", guarded=False, overlay=code)

        with ThreadPoolExecutor(grader.jobs) as pool:
            waiting = {pool.submit(run, trial): trial for trial in todo}
            for done, future in enumerate(as_completed(waiting), 1):
                trial = waiting[future]
                memory.keep(trial, as_row(future.result()))
                trouble = trial.complaint(memory.rows[memory.key(trial)])
                mark = "[red]✗[/]" if trouble else "[green]✓[/]"
                console.print(f"[bright_black]{done}/{len(todo)}[/] {mark} {trial.problem}/{trial.name}")
        if chosen.problem is None:
            complaints += stubs_are_not_started(grader, stage)
    complaints += unknown_names(exercises)
    complaints += [f"{path}: the tests of no problem" for path in workspace.stray_test_files(stage)]
    for exercise in exercises:
        rows = [trial for trial in listed if trial.problem == exercise.id]
        if rows:
            complaints += print_matrix(console, exercise, rows, memory, verbose=chosen.verbose)
    if complaints:
        console.print(f"\n[bold red]{len(complaints)} not as they must be:[/]")
        for line in complaints:
            console.print(f"  [red]✗[/] {line}")
        return 1
    mutants = sum(trial.kind == "mutant" for trial in listed)
    alternatives = sum(trial.kind == "alternative" for trial in listed)
    console.print(
        f"\n[bold green]all {mutants} mutants are rejected by the test that they name[/]; the reference passes, "
        f"{alternatives} alternatives pass" + ("" if chosen.problem else ", stubs are all not started")
    )
    return 0


def print_matrix(
    console: Console, exercise: Exercise, rows: list[Trial], memory: Memory, *, verbose: bool
) -> list[str]:
    """Print one problem's trials; what is not as it must be."""
    complaints = []
    killed = sum(t.kind == "mutant" and not t.complaint(memory.rows[memory.key(t)]) for t in rows)
    total = sum(t.kind == "mutant" for t in rows)
    console.print(f"\n[bold]{exercise.id}[/]  {killed} of {total} mutants rejected as they must be")
    width = max(len(trial.name) for trial in rows)
    for trial in rows:
        row = memory.rows[memory.key(trial)]
        trouble = trial.complaint(row)
        if trouble:
            complaints.append(f"{trial.kind} {trial.problem}/{trial.name}: {trouble}")
        said = trial.rejected_by if trial.kind == "mutant" else f"{trial.kind} passes"
        others = len(set(row["failed"]) - {trial.rejected_by})
        more = f" (and {others} more)" if others and trial.kind == "mutant" else ""
        mark = "[red]✗[/]" if trouble else "[green]✓[/]"
        console.print(
            f"  {mark} {trial.name:<{width}}  {trouble or said}[bright_black]{'' if trouble else more}[/]"
        )
        if verbose and row["failed"]:
            console.print(f"      [bright_black]{', '.join(row['failed'])}[/]")
    if total == 0:
        complaints.append(f"{exercise.id} has no mutant: nothing shows that its tests can fail")
    return complaints


def stubs_are_not_started(grader: Grader, stage: str) -> list[str]:
    """Grade freshly written stubs; the problems that are not `not started`."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="stubs-") as folder:
        write_stubs(stage, Path(folder) / "learner", grader.workspace.root)
        file = Path(folder) / "learner" / stage / "adapters.py"
        grade = grader.grade(stage, str(file))
    return [
        f"the bare stub of {p.id} is {p.outcome}, wanted not started"
        for p in grade.problems
        if p.kind == "code" and p.outcome is not Outcome.NOT_STARTED
    ]


def unknown_names(exercises: tuple[Exercise, ...]) -> list[str]:
    """Forbidden names that a library installed here does not have: a trap that traps nothing."""
    return [
        f"{e.id} forbids {name}, which no library here has"
        for e in exercises
        for name in e.forbidden
        if resolve(name) is None and find_spec(name.partition(".")[0]) is not None
    ]


if __name__ == "__main__":
    commands.run(main)
