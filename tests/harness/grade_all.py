"""Grade many submissions, each in isolation: one CSV, and a results.json and a page for each.

    python -m tests.harness.grade_all --stage a1_basics --submissions DIR --out DIR

Written answers wait in `reading.csv` for a person's points; the next run counts them.

Each entry of the submissions folder is one submission: an adapters file, a folder that holds one (`adapters.py`,
`<stage>/adapters.py`, `learner/<stage>/adapters.py` or `tests/adapters.py`), or a zip of such a folder. An entry that
is none of these, or that cannot be graded, is an error in a row of its own: nobody who handed in is missing from the
table. Submissions run in processes, working directories and homes of their own, with this checkout's tests and limits.
They are not shut in from the file system: use a machine whose other data you would show to students, or the
autograder's container.
"""

import csv
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from shared.errors import ConfigError, WorkspaceError
from tests.harness import commands, files
from tests.harness.grading import Grader
from tests.harness.outcomes import Outcome, ProblemGrade, StageGrade
from tests.harness.page import write_page
from tests.harness.reading import read_readings, with_readings, write_readings
from tests.harness.terminal import number
from tests.harness.workspace import Workspace

MAX_UNPACKED_BYTES = 256 * 2**20


def main(argv: list[str] | None = None) -> int:
    """Grade all; 0 when every submission got a verdict. Raises: WorkspaceError: no submissions."""
    arguments = commands.parser("grade_all", __doc__ or "")
    arguments.add_argument("--submissions", type=Path, help="the folder of submissions (SUBMISSIONS=)")
    arguments.add_argument(
        "--out", type=Path, default=Path("grades"), help="where results go (OUT=, default: grades)"
    )
    arguments.add_argument(
        "--jobs", type=int, default=max(1, os.cpu_count() or 1), help="submissions side by side"
    )
    chosen = commands.parse(arguments, argv)
    if chosen.submissions is None or not chosen.submissions.is_dir():
        raise ConfigError(f"SUBMISSIONS={chosen.submissions}: wanted a folder with one entry per submission")
    entries = named(p for p in chosen.submissions.iterdir() if not p.name.startswith("."))
    if not any(is_submission(entry) for entry in entries.values()):
        raise ConfigError(f"SUBMISSIONS={chosen.submissions} holds no submission: folders, .py or .zip files")
    console = Console(highlight=False, soft_wrap=True)
    exercises = chosen.workspace.chosen(chosen.stage, chosen.problem)
    everything = chosen.workspace.exercises(chosen.stage)
    table_of_readings = chosen.out / "reading.csv"
    readings = read_readings(table_of_readings, everything)
    rows: dict[str, list[str]] = {}
    graded: dict[str, StageGrade] = {}
    failed = 0

    def one(item: tuple[str, Path]) -> tuple[str, StageGrade | None, str]:
        name, entry = item
        try:
            return name, grade_submission(chosen.workspace, chosen.stage, entry, chosen.problem), ""
        except WorkspaceError as error:
            return name, None, str(error)
        except Exception as error:  # a damaged archive fails in many ways, and must cost nobody else a grade
            return name, None, f"{entry.name}: {type(error).__name__}: {error}"

    with ThreadPoolExecutor(min(chosen.jobs, len(entries))) as pool:
        for name, grade, error in pool.map(one, entries.items()):
            folder = chosen.out / name
            if grade is None:
                failed += 1
                results = files.broken_gradescope(error)
                rows[name] = [name, "0", "error", *["error"] * len(exercises), error]
                console.print(f"[bold red]![/] {name}: {files.first_line(error)}")
            else:
                graded[_no_formula(name)] = grade
                grade = with_readings(grade, _no_formula(name), readings)
                results = files.gradescope(grade)
                review = "; ".join(results["extra_data"]["review"])
                outcomes = [outcome_cell(p) for p in grade.problems]
                rows[name] = [name, number(grade.earned), "graded", *outcomes, review]
                write_page(folder / "index.html", grade)
                points = f"{number(grade.earned)} of {number(grade.points)} points"
                console.print(f"{name}: {points}{'  (places to read: ' + review + ')' if review else ''}")
            files.write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["submission", "points", "status", *[e.id for e in exercises], "review"])
    writer.writerows([_no_formula(cell) for cell in row] for row in rows.values())
    files.write_text(chosen.out / "grades.csv", table.getvalue())
    latest = read_readings(table_of_readings, everything)  # it may have been filled in while this ran
    write_readings(table_of_readings, graded, latest, everything)
    if latest != readings:
        console.print(f"{table_of_readings} was changed meanwhile: run again to count it")
    waiting = sum(
        problem.kind == "written" and problem.outcome is Outcome.NOT_CHECKED and problem.read_points is None
        for name, grade in graded.items()
        for problem in with_readings(grade, name, latest).problems
    )
    console.print(
        f"\n{len(rows)} submissions, {failed} without a verdict; table: {chosen.out / 'grades.csv'}"
    )
    if waiting:
        console.print(f"{waiting} written answers wait for points in {table_of_readings}")
    return 2 if failed else 0


def outcome_cell(problem: ProblemGrade) -> str:
    """A problem's cell of the table: its outcome, or what its reader gave."""
    return str(problem.outcome) if problem.read_points is None else f"read {number(problem.read_points)}"


def is_submission(path: Path) -> bool:
    """Whether an entry of the folder is of a form that can be graded."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() in (".py", ".zip"))


def named(entries: Iterable[Path]) -> dict[str, Path]:
    """Entries by the name of their rows: without suffix, but with it where two would share a row and a folder."""
    short = {
        entry: entry.stem if not entry.is_dir() and is_submission(entry) else entry.name for entry in entries
    }
    # Some file systems take two names that differ in case alone for one.
    taken = Counter(
        name for entry, stem in short.items() for name in {stem.casefold(), entry.name.casefold()}
    )
    return {
        stem if taken[stem.casefold()] == 1 else entry.name: entry for entry, stem in sorted(short.items())
    }


def _no_formula(cell: str) -> str:
    """A cell that a spreadsheet will not run as a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell


def grade_submission(workspace: Workspace, stage: str, entry: Path, problem: str | None) -> StageGrade:
    """Grade one submission with a warm process and a home of its own.

    Raises:
        WorkspaceError: there is no adapters file in it, or it is of a form that is not taken.
    """
    if not is_submission(entry):
        raise ConfigError(f"{entry.name} was not graded: wanted a folder, a .py file or a .zip file")
    with tempfile.TemporaryDirectory(prefix="submission-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        place = entry.resolve()
        if entry.is_file() and entry.suffix.lower() == ".zip":
            place = Path(folder) / "unpacked"
            unpack(entry, place)
        with Grader(workspace, jobs=1, environment={"HOME": str(home), "TMPDIR": folder}) as grader:
            return grader.grade(stage, str(arranged(inner_folder(place), stage, Path(folder))), problem)


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip inside the target folder. Raises: ConfigError: too large, or a path that leaves the folder."""
    with zipfile.ZipFile(archive) as zipped:
        size = sum(member.file_size for member in zipped.infolist())
        if size > MAX_UNPACKED_BYTES:
            raise ConfigError(f"{archive.name} unpacks to {size} bytes; the limit is {MAX_UNPACKED_BYTES}")
        for member in zipped.infolist():
            if not (target / member.filename).resolve().is_relative_to(target.resolve()):
                raise ConfigError(f"{archive.name} holds {member.filename!r}, which would leave its folder")
        zipped.extractall(target)


def inner_folder(place: Path) -> Path:
    """The folder itself, or the only one in it: many archives wrap everything in one more folder."""
    if place.is_dir():
        inside = [p for p in place.iterdir() if not p.name.startswith((".", "__MACOSX"))]
        if len(inside) == 1 and inside[0].is_dir() and inside[0].name not in ("tests", "learner"):
            return inside[0]
    return place


def arranged(place: Path, stage: str, scratch: Path) -> Path:
    """Where to grade from: uploads that are a bare stage folder are put where `learner.<stage>` imports work."""
    is_repository = any(
        (place / mark).exists() for mark in ("pyproject.toml", "setup.py", "tests", "learner")
    )
    source = place / stage if (place / stage / "adapters.py").is_file() else place
    if is_repository or not (source.is_file() or (source / "adapters.py").is_file()):
        return place
    target = scratch / "repository" / "learner" / stage
    if source.is_file():
        target.mkdir(parents=True)
        shutil.copy(source, target / "adapters.py")
    else:
        shutil.copytree(source, target, symlinks=True)
    return target.parents[1]


if __name__ == "__main__":
    commands.run(main)
