"""Points for written answers: a table that a person fills in, and that the next `make grade-all` reads back.

A row holds for one text of one submission. When the text changes, its points no longer count and the row says so;
no row that was filled in is ever dropped.
"""

import csv
import hashlib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from shared.doors.exercise import Exercise
from shared.errors import ConfigError
from tests.harness.outcomes import Outcome, ProblemGrade, StageGrade
from tests.harness.terminal import number

COLUMNS = ("submission", "problem", "of", "points", "comment", "text")


@dataclass(frozen=True)
class Reading:
    """What a person said about one answer."""

    points: float | None = None
    comment: str = ""
    text: str = ""  # digest of the text that was read

    @property
    def is_filled(self) -> bool:
        """Whether a person wrote anything here."""
        return self.points is not None or bool(self.comment)


Readings = dict[tuple[str, str], Reading]


def text_digest(text: str) -> str:
    """Enough of a SHA-256 to tell texts apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def read_readings(path: Path, listed: Iterable[Exercise]) -> Readings:
    """The table, empty when there is none yet. Raises: ConfigError: a row that cannot be meant."""
    if not path.exists():
        return {}
    most = {e.id: e.points for e in listed if e.kind == "written"}
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    if set(COLUMNS) - set(rows.fieldnames or ()):
        raise ConfigError(f"{path} lacks columns; wanted, separated by commas: {', '.join(COLUMNS)}")
    found: Readings = {}
    for line, row in enumerate(rows, 2):
        where = f"{path}:{line} ({row['submission']}, {row['problem']})"
        if row["problem"] not in most:
            raise ConfigError(f"{where}: no written problem of that name; there are: {', '.join(most)}")
        if (row["submission"], row["problem"]) in found:
            raise ConfigError(f"{where}: a second row for the same answer; keep one")
        points = _points(row["points"] or "", most[row["problem"]], where)
        found[row["submission"], row["problem"]] = Reading(points, row["comment"] or "", row["text"] or "")
    return found


def _points(said: str, most: float, where: str) -> float | None:
    if not said.strip():
        return None
    try:
        points = float(said)
    except ValueError:
        points = math.nan
    if not 0 <= points <= most:
        raise ConfigError(
            f"{where}: points are {said!r}; wanted a number from 0 to {number(most)}, or nothing"
        )
    return points


def with_readings(grade: StageGrade, submission: str, readings: Readings) -> StageGrade:
    """The verdict with the points that hold for the texts as they are now."""

    def read(problem: ProblemGrade) -> ProblemGrade:
        reading = readings.get((submission, problem.id), Reading())
        if problem.kind != "written" or problem.outcome is not Outcome.NOT_CHECKED or reading.points is None:
            return problem
        if reading.text != text_digest(problem.text):
            return replace(problem, message="its text changed since it was read: it waits to be read again")
        said = f"read by a person{': ' + reading.comment if reading.comment else ''}"
        return replace(problem, read_points=reading.points, message=said)

    return replace(grade, problems=tuple(read(problem) for problem in grade.problems))


def write_readings(
    path: Path, grades: dict[str, StageGrade], readings: Readings, listed: Iterable[Exercise]
) -> None:
    """Write a row for each answer that waits for a person or was read, and every other row that was filled in."""
    rows = {key: reading for key, reading in readings.items() if reading.is_filled}
    for submission, grade in grades.items():
        for problem in grade.problems:
            if problem.kind != "written" or problem.outcome is not Outcome.NOT_CHECKED:
                continue
            key, digest = (submission, problem.id), text_digest(problem.text)
            before = rows.get(key, Reading())
            if before.points is not None and before.text != digest:
                said = f"{number(before.points)} for an earlier text"
                rows[key] = Reading(None, f"{said}; {before.comment}".rstrip("; "), digest)
            else:
                rows[key] = replace(before, text=digest)
    most = {e.id: e.points for e in listed}
    order = {name: place for place, name in enumerate(most)}
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (submission, problem), reading in sorted(
        rows.items(), key=lambda item: (item[0][0], order[item[0][1]])
    ):
        points = "" if reading.points is None else number(reading.points)
        writer.writerow([submission, problem, number(most[problem]), points, reading.comment, reading.text])
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(table.getvalue(), encoding="utf-8")
    draft.replace(path)
