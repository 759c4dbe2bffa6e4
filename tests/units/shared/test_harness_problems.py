"""Which files hold a problem's tests, and how much stands behind each problem: mutants and alternatives."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from shared.doors.exercise import Exercise
from tests.harness.mutants import has_own_answers, trials
from tests.harness.workspace import Workspace
from tests.system.fake_stage import EXERCISES, write_workspace

HERE = Workspace()
STAGES = HERE.stages()


def names(paths) -> list[str]:
    return [path.name for path in paths]


@pytest.fixture
def workspace(tmp_path):
    """A stage with the problems double, greet and greet_loudly, which has no file of its own."""
    found = write_workspace(tmp_path)
    loud = (
        'Exercise(id="greet_loudly", title="Shout", points=1, door=("run_shout",)),\n    Exercise(id="essay"'
    )
    (tmp_path / "a1_basics/exercises.py").write_text(EXERCISES.replace('Exercise(id="essay"', loud))
    for name in ("test_greet_many.py", "test_greet_loudly_twice.py", "test_greeting.py"):
        (tmp_path / "tests/a1_basics" / name).touch()
    return found


def test_a_problems_tests_may_lie_in_several_files(workspace):
    assert names(workspace.test_files("a1_basics", "greet")) == ["test_greet.py", "test_greet_many.py"]
    assert names(workspace.test_files("a1_basics", "double")) == ["test_double.py"]


def test_the_longest_id_wins_and_the_first_file_is_always_asked_for(workspace):
    assert names(workspace.test_files("a1_basics", "greet_loudly")) == [
        "test_greet_loudly.py",
        "test_greet_loudly_twice.py",
    ]


def test_a_file_of_no_problem_is_found(workspace):
    assert names(workspace.stray_test_files("a1_basics")) == ["test_greeting.py"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_graded_file_is_some_problems(stage):
    assert HERE.stray_test_files(stage) == []


def functions_in(path: Path) -> list[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def tried(exercise: Exercise) -> bool:
    return exercise.kind == "code" or has_own_answers(exercise)


@pytest.mark.parametrize("stage", STAGES)
def test_a_mutant_names_one_test_of_its_problem(stage):
    for exercise in (e for e in HERE.exercises(stage) if e.kind == "code"):
        tests = Counter(name for path in HERE.test_files(stage, exercise.id) for name in functions_in(path))
        assert not [name for name, times in tests.items() if times > 1], exercise.id
        for trial in trials(HERE, stage, (exercise,)):
            assert trial.rejected_by in (*tests, "forbidden", ""), f"{trial.problem}/{trial.name}"


@pytest.mark.parametrize("stage", STAGES)
def test_enough_wrong_and_right_solutions_stand_behind_each_problem(stage):
    listed = HERE.exercises(stage)
    behind: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for trial in trials(HERE, stage, listed):
        behind[trial.problem][trial.kind] += 1
    if not any(counts["mutant"] for counts in behind.values()):
        pytest.skip("not checked: a student tree has neither mutants nor alternatives")
    for exercise in filter(tried, listed):
        counts, wanted = behind[exercise.id], 8 if exercise.points >= 3 else 3
        assert counts["mutant"] >= wanted, f"{exercise.id}: {counts['mutant']} mutants, wanted {wanted}"
        assert counts["alternative"] >= 3, f"{exercise.id}: {counts['alternative']} alternatives, wanted 3"
