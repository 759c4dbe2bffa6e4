"""What a person gives for written answers: counted for the text that was read, refused when it makes no sense."""

import csv
from pathlib import Path

import pytest

from shared.doors.exercise import Exercise
from shared.errors import ConfigError
from tests.harness import files
from tests.harness.outcomes import Outcome, ProblemGrade, StageGrade
from tests.harness.page import page
from tests.harness.reading import Reading, read_readings, text_digest, with_readings, write_readings

ESSAY = Exercise(
    id="essay", title="Tell why", points=3, kind="written", deliverable="a line", rubric=("Says why.",)
)
LISTED = (Exercise(id="sums", title="Sums", points=2, door=("f",)), ESSAY)


def grade(text: str, outcome: Outcome = Outcome.NOT_CHECKED) -> StageGrade:
    essay = ProblemGrade("essay", "Tell why", 3, outcome, kind="written", rubric=ESSAY.rubric, text=text)
    return StageGrade("a1_basics", "learner", (ProblemGrade("sums", "Sums", 2, Outcome.PASSED), essay))


def fill(path: Path, **changed: str) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0].update(changed)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_points_are_read_back_for_the_text_that_was_read(tmp_path):
    path = tmp_path / "reading.csv"
    assert read_readings(path, LISTED) == {}
    write_readings(path, {"ada": grade("Because.")}, {}, LISTED)
    assert with_readings(grade("Because."), "ada", read_readings(path, LISTED)).earned == 2

    fill(path, points="2.5", comment="why not shorter?")
    readings = read_readings(path, LISTED)
    found = with_readings(grade("Because."), "ada", readings)
    assert found.earned == 4.5
    assert "why not shorter?" in found.problems[1].message
    assert "4.5" in page(found)
    assert files.gradescope(found)["tests"][1]["score"] == 2.5
    assert with_readings(grade("Because."), "bob", readings).earned == 2

    changed = with_readings(grade("Because of this."), "ada", readings)
    assert changed.earned == 2
    assert "changed since" in changed.problems[1].message
    write_readings(path, {"ada": grade("Because of this.")}, readings, LISTED)
    row = read_readings(path, LISTED)["ada", "essay"]
    assert row.points is None
    assert row.comment == "2.5 for an earlier text; why not shorter?"


def test_no_filled_row_is_ever_dropped(tmp_path):
    path = tmp_path / "reading.csv"
    kept = {("gone", "essay"): Reading(1.0, "", "abc"), ("ada", "essay"): Reading(2.0, "", text_digest("x"))}
    write_readings(path, {"ada": grade("", Outcome.NOT_STARTED)}, kept, LISTED)
    assert read_readings(path, LISTED) == kept
    assert with_readings(grade("x", Outcome.FAILED), "ada", kept).earned == 2


@pytest.mark.parametrize("points", ["4", "-1", "nan", "three", "inf"])
def test_points_that_cannot_be_meant_are_refused(points, tmp_path):
    path = tmp_path / "reading.csv"
    write_readings(path, {"ada": grade("Because.")}, {}, LISTED)
    fill(path, points=points)
    with pytest.raises(ConfigError, match="from 0 to 3"):
        read_readings(path, LISTED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("submission;problem;of;points;comment;text\n", "separated by commas"),
        ("submission,problem,of,points,comment,text\nada,sums,2,2,,\n", "no written problem"),
        ("submission,problem,of,points,comment,text\nada,essay,3,2,,\nada,essay,3,1,,\n", "second row"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(text, said, tmp_path):
    path = tmp_path / "reading.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_readings(path, LISTED)


def test_page_shows_the_text_beside_its_rubric_and_runs_nothing_of_it():
    shown = page(grade("<script>alert(1)</script> because"))
    assert "Says why." in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt; because" in shown
    assert "<script>" not in shown
    assert "nothing was written" in page(grade(""))
