"""Verdicts as files: JSON, JUnit, Gradescope and the page say the same as the verdict."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from tests.harness import files
from tests.harness.outcomes import Lesson, Outcome, ProblemGrade, StageGrade, TestGrade
from tests.harness.page import page
from tests.harness.worker import Tree

NASTY = "<script>alert('x')</script> & \x00 \x1b[31m \ud800"


@pytest.fixture
def grade() -> StageGrade:
    lesson = Lesson(what=NASTY, why="because", counterexample="got 1", test="t.py::test_b")
    tests = (TestGrade("t.py::test_a", "passed", 0.1), TestGrade("t.py::test_b", "failed", 0.2, lesson))
    problems = (
        ProblemGrade("one", "One", 3, Outcome.PASSED, tests=tests[:1]),
        ProblemGrade("two", "Two", 2, Outcome.FAILED, message=NASTY, failure=lesson, tests=tests, hints=2),
        ProblemGrade("three", "Three", 1, Outcome.ERROR, message="crashed"),
        ProblemGrade("four", "Four", 1, Outcome.NOT_STARTED),
        ProblemGrade("five", "Five", 1, Outcome.FORBIDDEN, message="torch.mul"),
    )
    return StageGrade("a1_basics", "learner", problems, seconds=1.0, graded_at="2026-01-01T00:00:00+00:00")


def test_points_and_exit_code(grade):
    assert (grade.earned, grade.points, grade.exit_code) == (3, 8, 2)
    assert StageGrade("s", "learner", grade.problems[:2]).exit_code == 1
    assert StageGrade("s", "learner", grade.problems[:1]).exit_code == 0
    assert StageGrade("s", "learner", ()).exit_code == 2


def test_json(grade, tmp_path):
    files.write_json(tmp_path / "g.json", grade)
    read = json.loads((tmp_path / "g.json").read_text())
    assert read["earned"] == 3
    assert [p["outcome"] for p in read["problems"]] == [
        "passed",
        "failed",
        "error",
        "not started",
        "forbidden",
    ]


def test_junit_counts_every_problem_even_without_tests(grade, tmp_path):
    files.write_junit(tmp_path / "g.xml", grade)
    suites = list(ElementTree.parse(tmp_path / "g.xml").getroot())
    counts = {
        s.get("name"): tuple(int(s.get(k, -1)) for k in ("tests", "failures", "errors", "skipped"))
        for s in suites
    }
    assert counts == {
        "a1_basics.one": (2, 0, 0, 0),
        "a1_basics.two": (3, 2, 0, 0),
        "a1_basics.three": (1, 0, 1, 0),
        "a1_basics.four": (1, 0, 0, 1),
        "a1_basics.five": (1, 1, 0, 0),
    }


def test_gradescope(grade):
    read = json.loads(json.dumps(files.gradescope(grade)))
    assert read["score"] == sum(test["score"] for test in read["tests"]) == 3
    assert [test["status"] for test in read["tests"]] == ["passed", "failed", "failed", "failed", "failed"]
    assert sum(test["max_score"] for test in read["tests"]) == 8
    broken = files.broken_gradescope("the disk is full")
    assert (broken["score"], broken["tests"][0]["status"]) == (0, "failed")
    assert "not a grade" in broken["output"]


def test_page_escapes_what_learner_code_says(grade):
    text = page(grade)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<article") == 5
    assert "3<small> of 8 points" in text


def test_files_are_whole_or_absent(tmp_path):
    files.write_text(tmp_path / "new" / "a.txt", "x")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]


class Fake:
    """A process that used so much memory and processor time."""

    def __init__(self, cpu_seconds: float, memory_bytes: int = 0) -> None:
        self._cpu, self._memory = cpu_seconds, memory_bytes

    def cpu_times(self):
        return type("T", (), {"user": self._cpu, "system": 0.0, "children_user": 0.0, "children_system": 0.0})

    def memory_info(self):
        return type("M", (), {"rss": self._memory})

    def memory_full_info(self):
        return type("M", (), {"pss": self._memory})


@pytest.mark.parametrize(
    ("wall", "cpu", "stopped"),
    [(9, 9, ""), (11, 10, "time"), (11, 0.1, "time"), (30, 5, ""), (41, 5, "time")],
    ids=["in time", "worked too long", "stuck", "a busy machine", "too long even so"],
)
def test_wall_clock_is_forgiving_on_a_busy_machine_only(monkeypatch, wall, cpu, stopped):
    monkeypatch.setattr("tests.harness.worker.time.monotonic", lambda: float(wall))
    tree = Tree(time_limit_seconds=10.0, memory_limit_bytes=100, began=0.0, _looked=-1.0)
    assert tree.over_limit(lambda: [Fake(cpu)])[0] == stopped


def test_memory_is_summed_over_the_tree():
    tree = Tree(time_limit_seconds=1e9, memory_limit_bytes=100, began=0.0)
    assert tree.over_limit(lambda: [Fake(0, 60), Fake(0, 60)])[0] == "memory"
    tree = Tree(time_limit_seconds=1e9, memory_limit_bytes=100, began=0.0)
    assert tree.over_limit(lambda: [Fake(0, 60), Fake(0, 30)])[0] == ""
