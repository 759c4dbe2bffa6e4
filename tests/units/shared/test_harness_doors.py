"""What the grader keeps and writes for a learner: exercises, stubs, doors found by path, results and borrowings."""

import ast
import importlib.util
import json
import sys

import pytest

from shared.doors import grades
from shared.doors.exercise import Exercise, checked, exercise, exercises
from shared.doors.load import Source, load, locate
from shared.doors.scaffold import reset_problem, write_learner_folder, write_stubs
from shared.doors.stubs import is_stub
from shared.errors import ConfigError, ContractError
from tests.system.fake_stage import GOOD, write_learner, write_workspace


@pytest.fixture
def workspace(tmp_path):
    return write_workspace(tmp_path)


def test_exercises_are_read_by_path(workspace):
    assert [e.id for e in exercises("a1_basics", workspace.root)] == ["double", "greet", "essay"]
    with pytest.raises(ContractError, match="double, greet, essay"):
        exercise("a1_basics", "nothing", workspace.root)
    with pytest.raises(ContractError, match="a1_basics"):
        exercises("a2_systems", workspace.root)


@pytest.mark.parametrize(
    "broken",
    [
        {"id": "Upper"},
        {"id": "a/b"},
        {"points": -1},
        {"door": ()},
        {"door": "run_double"},
        {"hints": "one string"},
    ],
    ids=str,
)
def test_an_exercise_that_the_grader_could_not_use_is_refused(broken):
    with pytest.raises(ContractError):
        Exercise(**{"id": "x", "title": "X", "points": 1, "door": ("run_x",), **broken})


def test_a_list_of_exercises_is_consistent():
    one, two = (Exercise(id=i, title=i, points=1, door=(f"run_{i}",)) for i in ("one", "two"))
    assert checked("s", [one, two]) == (one, two)
    for wrong in ([one, one], [Exercise(id="three", title="", points=1, door=("run_one",)), one]):
        with pytest.raises(ContractError):
            checked("s", wrong)
    with pytest.raises(ContractError, match="no earlier"):
        checked("s", [Exercise(id="a", title="", points=1, door=("run_a",), prerequisites=("one",)), one])


@pytest.mark.parametrize(
    ("text", "stub"),
    [
        ("def f(x):\n    raise NotImplementedError\n", True),
        ("def f(x):\n    '''Doc.'''\n    raise NotImplementedError('later')\n", True),
        ("def f(x):\n    ...\n", True),
        ("def f(x):\n    pass\n", True),
        ("", True),
        ("def f(x):\n    return x\n", False),
        ("def f(x):\n    raise ValueError('no')\n", False),
        ("def f(x):\n    if x:\n        raise NotImplementedError\n    return 1\n", False),
        ("from mine import f\n", False),
        ("from mine import g as f\n", False),
        ("from mine import *\n", False),
        ("f = lambda x: x\n", False),
        ("try:\n    from fast import f\nexcept ImportError:\n    from slow import f\n", False),
        ("def f(x):\n    return x\n\n\ndef f(x):\n    raise NotImplementedError\n", True),
        ("def f(x):\n    raise NotImplementedError\n\n\ndef f(x):\n    return x\n", False),
    ],
)
def test_what_is_a_stub(text, stub):
    assert is_stub(ast.parse(text), "f") is stub


def run_file(path):
    spec = importlib.util.spec_from_file_location("written_stubs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stubs_import_and_a_rerun_adds_only_what_is_new(workspace):
    assert write_stubs("a1_basics", workspace.learner, workspace.root) == ["run_double", "run_greet"]
    path = workspace.learner / "a1_basics" / "adapters.py"
    module = run_file(path)
    assert module.run_greet.__annotations__["loud"] is bool
    assert "problem `double`, 3 points" in module.run_double.__doc__
    with pytest.raises(NotImplementedError):
        module.run_greet("Ada")
    text = path.read_text()
    assert write_stubs("a1_basics", workspace.learner, workspace.root) == []
    assert path.read_text() == text
    mine = "def run_greet(name):\n    return 'hello ' + name  # mine\n"
    path.write_text(mine)
    assert write_stubs("a1_basics", workspace.learner, workspace.root) == ["run_double"]
    assert mine in path.read_text()
    assert run_file(path).run_greet("Ada") == "hello Ada"
    path.write_text("def run_greet(:\n")
    with pytest.raises(ContractError, match=r"adapters\.py:1 is no valid Python"):
        write_stubs("a1_basics", workspace.learner, workspace.root)
    assert path.read_text() == "def run_greet(:\n"


def test_the_learners_own_policy_file_is_kept(workspace):
    names = [path.name for path in write_learner_folder(workspace.learner)]
    assert names == ["README.md", "AGENTS.md"]
    (workspace.learner / "AGENTS.md").write_text("mine")
    assert write_learner_folder(workspace.learner) == []
    assert (workspace.learner / "AGENTS.md").read_text() == "mine"


def test_reset_touches_one_problem_and_keeps_copies(workspace):
    path = write_learner(workspace, "import functools\n\n\n@functools.cache\n" + GOOD.lstrip("\n"))
    double = exercise("a1_basics", "double", workspace.root)
    before = path.read_text()
    copies = {reset_problem("a1_basics", double, workspace.learner, workspace.root) for _ in range(3)}
    assert len(copies) == 3
    assert before in {copy.read_text() for copy in copies}
    tree = ast.parse(path.read_text())
    assert is_stub(tree, "run_double")
    assert not is_stub(tree, "run_greet")
    assert run_file(path).run_greet("Ada") == "hello Ada"


def test_results_hold_only_for_unchanged_sources(workspace):
    path, learner = write_learner(workspace, GOOD), workspace.learner
    row = {"outcome": "passed", "points": 3, "earned": 3, "door": ["run_double"]}
    row["sources"] = grades.source_digests(learner, "a1_basics")
    grades.save_results(learner, "a1_basics", {"double": row})
    assert grades.passed_functions(learner, "a1_basics") == {"run_double"}
    path.write_text(GOOD + "# a remark\n")
    assert grades.passed_functions(learner, "a1_basics") == set()
    assert grades.changed_functions(learner, "a1_basics") == {"run_double"}
    path.write_text(GOOD)
    write_learner(workspace, "x = 1\n", "more.py")
    assert grades.passed_functions(learner, "a1_basics") == set()


def test_borrowing_is_remembered_until_given_back(workspace):
    learner = workspace.learner
    assert grades.borrowed(learner, "a1_basics") == set()
    grades.save_borrowed(learner, "a1_basics", "double", ("run_double",), "../full")
    grades.save_borrowed(learner, "a1_basics", "greet", ("run_greet",))
    assert grades.borrowed(learner, "a1_basics") == {"run_double", "run_greet"}
    assert grades.borrowed_from(learner, "a1_basics") == "../full"
    assert grades.give_back(learner, "a1_basics", "greet")
    assert not grades.give_back(learner, "a1_basics", "greet")
    assert grades.borrowed_problems(learner, "a1_basics") == {"double"}


def test_doors_are_found_where_people_put_them(workspace, tmp_path):
    with pytest.raises(ContractError, match="make learn"):
        locate("a1_basics", "learner", workspace.root)
    write_learner(workspace, GOOD)
    assert locate("a1_basics", "learner", workspace.root).module == "learner.a1_basics.adapters"
    assert locate("a1_basics", "reference", workspace.root).kind == "reference"
    for place in (
        "adapters.py",
        "a1_basics/adapters.py",
        "tests/adapters.py",
        "learner/a1_basics/adapters.py",
    ):
        folder = tmp_path / place.replace("/", "_").removesuffix(".py")
        (folder / place).parent.mkdir(parents=True)
        (folder / place).write_text(GOOD)
        found = locate("a1_basics", str(folder), workspace.root)
        assert found.file == folder / place
        assert found.owns(str(folder / place))
        assert not found.owns(str(folder / ".venv" / "lib" / "x.py"))
    with pytest.raises(ContractError, match="no adapters file"):
        locate("a1_basics", str(tmp_path / "a1_basics" / "run"), workspace.root)
    with pytest.raises(ContractError, match="there is no file"):
        locate("a1_basics", str(tmp_path / "mine.py"), workspace.root)
    with pytest.raises(ContractError, match="a path needs a slash"):
        locate("a1_basics", "no_such_package", workspace.root)
    with pytest.raises(ConfigError):
        locate("a1_basics", "no such package", workspace.root)


def test_what_was_found_travels_to_another_process(workspace, tmp_path):
    """The process that runs the code has another working directory: it must not search again."""
    write_learner(workspace, GOOD)
    (tmp_path / "mine.py").write_text(GOOD)
    for impl in ("learner", "reference", str(tmp_path / "mine.py")):
        found = locate("a1_basics", impl, workspace.root)
        assert Source.unpacked(json.loads(json.dumps(found.packed()))) == found


def test_finding_a_door_runs_no_code_of_it(workspace):
    write_learner(workspace, "raise SystemExit('ran')\n")
    locate("a1_basics", "learner", workspace.root)
    locate("a1_basics", str(workspace.learner / "a1_basics"), workspace.root)


def test_a_door_by_path_keeps_its_own_modules(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, word in (("one", "first"), ("two", "second")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "words.py").write_text(f"WORD = {word!r}\n")
        (folder / "adapters.py").write_text(
            "from .words import WORD\n\n\ndef run_greet(name):\n    return WORD\n"
        )
    first, second = (load("a1_basics", str(tmp_path / name), workspace.root) for name in ("one", "two"))
    assert (first.run_greet("x"), second.run_greet("x")) == ("first", "second")


@pytest.mark.parametrize(
    "damage",
    [b"", b'{"problems": {"double": {"outc', b"\xff\xfe", b"[]", b'{"problems": 3}', b'{"unlocked": []}'],
    ids=str,
)
def test_a_damaged_ledger_is_kept_aside(tmp_path, capsys, damage):
    """It is never overwritten by the next result: it may be all that is left of a term's work."""
    path = tmp_path / grades.FOLDER / "a1_basics.json"
    path.parent.mkdir()
    for number in (1, 2):
        path.write_bytes(damage)
        assert grades.results(tmp_path, "a1_basics") == {}
        said = capsys.readouterr().err
        assert f"a1_basics.json.damaged-{number}" in said
        assert "grade again" in said
        grades.save_results(tmp_path, "a1_basics", {"double": {"outcome": "passed"}})
    kept = sorted(path.parent.glob("*.damaged-*"))
    assert [file.read_bytes() for file in kept] == [damage, damage]
    assert grades.results(tmp_path, "a1_basics") == {"double": {"outcome": "passed"}}
    assert capsys.readouterr().err == ""
