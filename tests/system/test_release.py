"""The student tree holds no solution, and a learner can walk in it: learn, grade, hint, borrow, reset, status."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from shared.doors import release
from shared.doors.load import WORKSPACE, lacking
from shared.errors import ConfigError, ContractError
from tests.system.fake_stage import GOOD, write_workspace

STORE_FILES = (Path("shared/store/__init__.py"), Path("shared/store/disk.py"))
"""What the doors take from the store."""


@pytest.fixture
def checkout(tmp_path):
    """A full checkout in small: the fake stage, with this workspace's own `shared` and grader."""
    root = tmp_path / "checkout"
    for folder in ("shared", "tests/harness"):
        for path in (WORKSPACE / folder).rglob("*"):
            wanted = path.suffix in (".py", ".ini") and (
                folder != "shared"
                or path.parent.name in ("doors", "shared")
                or path.relative_to(WORKSPACE) in STORE_FILES
            )
            if wanted and "__pycache__" not in path.parts:
                target = root / path.relative_to(WORKSPACE)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    for name in ("resolve.py", "protocols.py", "tokenizers.py"):
        (root / "shared" / "doors" / name).unlink(missing_ok=True)
    for path in (root / "shared").glob("*.py"):
        if path.name not in ("__init__.py", "errors.py"):
            path.unlink()
    write_workspace(root)
    for name, text in {
        "tests/mutants/a1_basics/double/adds_one.py": '"""Adds one."""\n\nREJECTED_BY = "test_doubles"\n\n\n'
        "def run_double(x):\n    y = x\n    z = y + 1\n    return z\n",
        "tests/alternatives/a1_basics/subtract.py": 'SOLVES = ("double",)\n\n\ndef run_double(x):\n    return x - -x\n',
        "tests/units/a1_basics/test_inside.py": "from a1_basics.inside import double\n",
        "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def command(root: Path, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of the grader's commands in a tree, with that tree's own code."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "REFERENCE")}
    return subprocess.run(
        [sys.executable, "-m", f"tests.harness.{name}", *arguments],
        cwd=root,
        env={**clean, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_release_holds_no_solution_and_a_learner_can_walk_in_it(checkout, tmp_path):
    out = tmp_path / "student"
    release.build(checkout, out)
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"a1_basics/HANDOUT.md", "a1_basics/exercises.py", "a1_basics/run/through_the_door.py"} <= names
    assert {
        "tests/a1_basics/test_double.py",
        "tests/harness/grade.py",
        "README.md",
        "STUDENT_RELEASE",
    } <= names
    held = ("inside.py", "study", "mutants/", "alternatives/", "units/", ".git/", "__pycache__")
    assert not [name for name in names if any(word in name for word in held)]
    assert "return" not in (out / "a1_basics/adapters.py").read_text()
    assert 'impl = "learner"' in (out / "pyproject.toml").read_text()

    assert "make learn" in command(out, "grade").stderr
    assert command(out, "learn").returncode == 0
    fresh = command(out, "grade")
    assert fresh.returncode == 0
    assert "0 of 6 points" in fresh.stdout
    assert fresh.stdout.count("not started") == 4  # two problems, an essay, and their sum

    lend = command(out, "borrow", "--problem", "greet")
    assert lend.returncode == 2
    assert "REFERENCE=" in lend.stderr
    lend = command(out, "borrow", "--problem", "greet", "--reference", str(checkout))
    assert lend.returncode == 0, lend.stderr
    assert "0 of 2 points" in lend.stdout

    door = out / "learner" / "a1_basics" / "adapters.py"
    written = door.read_text().replace(
        'raise NotImplementedError("run_double is still to be written")', "return x * x"
    )
    door.write_text(written)
    failed = command(out, "grade", "--problem", "double")
    assert failed.returncode == 1
    for word in ("checked", "counter-example", "why it matters", "2 of 2 hints"):
        assert word in failed.stdout
    hints = command(out, "hint", "--problem", "double").stdout
    assert "hint 1 of 2" in hints
    assert "x + x" in hints

    door.write_text(written.replace("x * x", "x + x"))
    page, results = out / "page.html", out / "results.json"
    good = command(out, "grade", "--html", str(page), "--gradescope", str(results))
    assert good.returncode == 0, good.stdout
    assert "3 of 6 points" in good.stdout
    assert "borrowed" in good.stdout
    assert "double" in page.read_text()
    assert json.loads(results.read_text())["score"] == 3
    assert "3 of 6 points" in command(out, "status").stdout

    back = command(out, "reset", "--problem", "double")
    assert back.returncode == 0, back.stderr
    copies = list((out / "learner" / ".backups").glob("*.py"))
    assert "x + x" in copies[0].read_text()
    assert "run_double is still to be written" in door.read_text()


def test_the_reference_lends_its_functions_to_a_release(checkout, tmp_path):
    out = tmp_path / "student"
    release.build(checkout, out)
    code = "from shared.doors.load import load; print(load('a1_basics', 'reference').run_double(21))"
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "REFERENCE")}
    for reference, wanted in (("", "REFERENCE="), (str(checkout), "42"), ("borrow", "42")):
        if reference == "borrow":  # from then on the checkout that was named then will do
            assert command(out, "learn").returncode == 0
            assert command(out, "borrow", "--problem", "double", REFERENCE=str(checkout)).returncode == 0
            reference = ""
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=out,
            env={**clean, "REFERENCE": reference},
            capture_output=True,
            text=True,
            check=False,
        )
        assert wanted in done.stdout + done.stderr
    with pytest.raises(ConfigError, match="release already"):
        release.build(out, tmp_path / "again")


def test_a_full_checkout_lends_a_release_the_programs_that_it_lacks(checkout, tmp_path):
    out = tmp_path / "student"
    release.build(checkout, out)
    programs = ["a1_basics.run.through_the_door", "a1_basics.run.study", "a1_basics.run.study_twice"]
    assert lacking(programs, checkout) == []
    with pytest.raises(ConfigError, match=r"leaves out a1_basics.run.study, .*IMPL=learner REFERENCE="):
        lacking(programs, out)
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "REFERENCE")}

    def lent(program: str, reference: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "shared.doors.lend", program],
            cwd=out,
            env={**clean, "REFERENCE": reference},
            capture_output=True,
            text=True,
            check=False,
        )

    for program, reference, status, wanted in (
        ("a1_basics.run.study", str(checkout), 0, "2"),
        ("a1_basics.run.study_twice", str(checkout), 0, "function double"),  # its imports are lent as well
        ("a1_basics.run.study", "", 2, "leaves out a1_basics.run.study"),
        ("a1_basics.run.study", str(out), 2, "is no full checkout"),
        ("a1_basics.run.studdy", str(checkout), 2, "there is no a1_basics.run.studdy"),
        ("a1_basics.run.through_the_door", str(checkout), 2, "is in this tree"),
    ):
        done = lent(program, reference)
        assert done.returncode == status, done.stderr
        assert wanted in (done.stderr if status else done.stdout)
        assert "Traceback" not in done.stderr


def test_programs_that_work_through_doors_are_handed_out():
    """Of this very workspace: training is behind the doors of both stages; what shows their inside stays."""
    made = release.plan(WORKSPACE)
    programs = {path.stem for path in made.copied if path.parent.name == "run"}
    assert {
        "train_tokenizer",
        "encode",
        "train_lm",
        "generate",
        "train_parallel",
        "compare_training",
    } <= programs
    assert programs.isdisjoint({"ablations", "ladder", "bench_collectives", "measure_step"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shared/doors/extra.py", "def twice(x):\n    total = x\n    total = total + x\n    return total\n"),
        ("a1_basics/configs.py", "from a1_basics.inside import double\n"),
        ("tests/oracles/double.py", "def run(x):\n    y = x\n    z = y + 1\n    return z\n"),
    ],
)
def test_a_leak_stops_the_release(checkout, tmp_path, name, text):
    path = checkout / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(ContractError, match="give solutions away"):
        release.build(checkout, tmp_path / "student")
    assert not (tmp_path / "student").exists()


def test_a_test_that_does_not_load_stops_the_release(checkout, tmp_path):
    (checkout / "tests/a1_basics/test_greet.py").write_text("import no_such_module\n")
    with pytest.raises(ContractError, match="no test was collected"):
        release.build(checkout, tmp_path / "student")


def test_release_never_writes_over_a_folder(checkout, tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "mine.txt").write_text("kept")
    with pytest.raises(ConfigError, match="not empty"):
        release.build(checkout, tmp_path / "student")
    assert (tmp_path / "student" / "mine.txt").read_text() == "kept"


def test_watch_grades_again_at_a_save(checkout):
    assert command(checkout, "learn").returncode == 0
    door = checkout / "learner" / "a1_basics" / "adapters.py"
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "REFERENCE")}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "tests.harness.watch", "--problem", "double", "--rounds", "3"],
        cwd=checkout,
        env=clean,
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        verdicts, bodies = [], ["x", "x + x"]
        for line in watch.stdout:
            verdicts += [line] if " points  ·  " in line else []
            if line.startswith("watching"):
                stub = 'raise NotImplementedError("run_double is still to be written")'
                before = door.read_text()
                body = before.replace(stub, "return x").replace("return x\n", f"return {bodies[0]}\n")
                saved = door.with_name("adapters.py.new")
                saved.write_text(body)
                saved.replace(door)  # one step, as careful editors save: a half-written file is no round
                bodies.pop(0)
    assert [line.partition(" of ")[0] for line in verdicts] == ["0", "0", "3"]
    assert ["1 not started" in verdicts[0], "1 failed" in verdicts[1], "1 passed" in verdicts[2]] == [
        True
    ] * 3
    assert watch.returncode == 0


def test_mutants_name_survivors_and_wrong_killers(checkout):
    folder = checkout / "tests/mutants/a1_basics"
    (folder / "greet").mkdir()
    (folder / "greet/shouts.py").write_text(
        '"""Shouts when loud, and no test looks."""\n\nREJECTED_BY = "test_greets"\n\n\n'
        "def run_greet(name, loud=False):\n    return f'hello {name}' + loud * '!'\n"
    )
    (folder / "double/library.py").write_text(
        '"""Calls the library."""\n\nimport torch\n\nREJECTED_BY = "forbidden"\n\n\n'
        "def run_double(x):\n    return torch.mul(x, 2)\n"
    )
    (folder / "double/difference.py").write_text(
        '"""Subtracts."""\n\nREJECTED_BY = "test_doubles"\nBASE = "subtract"\nCHANGES = (("x - -x", "x - x"),)\n'
    )
    found = command(checkout, "mutants", "--jobs", "1")
    assert found.returncode == 1
    assert "greet/shouts: survives" in found.stdout
    assert "3 of 3 mutants rejected" in found.stdout
    (folder / "greet/shouts.py").write_text(
        '"""Says nothing."""\n\nREJECTED_BY = "test_greets"\n\n\ndef run_greet(name, loud=False):\n    return ""\n'
    )
    again = command(checkout, "mutants", "--jobs", "1")
    assert again.returncode == 0, again.stdout
    assert "7 trials, 1 to run" in again.stdout
    (folder / "double/adds_one.py").write_text(
        '"""Adds one."""\n\nREJECTED_BY = "test_other"\n\n\ndef run_double(x):\n    return x + 1\n'
    )
    assert (
        "test_other lets it pass" in command(checkout, "mutants", "--problem", "double", "--jobs", "1").stdout
    )


def test_many_submissions_and_the_autograder(checkout, tmp_path):
    submissions = tmp_path / "submissions"
    (submissions / "ada" / "a1_basics").mkdir(parents=True)
    (submissions / "ada" / "a1_basics" / "adapters.py").write_text("from learner.a1_basics.own import *\n")
    (submissions / "ada" / "a1_basics" / "own.py").write_text(GOOD)
    (submissions / "ada" / "a1_basics" / "WRITEUP.md").write_text("## essay\n\nBecause it <is> so.\n")
    (submissions / "bob.py").write_text("import os\n\nos._exit(0)\n\n\ndef run_double(x):\n    return x\n")
    (submissions / "eve.py").write_text("import gc\n" + GOOD.replace("x + x", "x"))
    (submissions / "zoe").mkdir()
    with zipfile.ZipFile(submissions / "=kim.zip", "w") as zipped:
        zipped.writestr("homework/adapters.py", GOOD)
    out = tmp_path / "grades"
    done = command(checkout, "grade_all", "--submissions", str(submissions), "--out", str(out), "--jobs", "2")
    assert done.returncode == 2, done.stderr  # zoe has no verdict
    rows = {line.split(",")[0]: line.split(",")[1:] for line in (out / "grades.csv").read_text().splitlines()}
    assert rows["ada"][:4] == ["5", "graded", "passed", "passed"]
    assert rows["'=kim"][:4] == ["5", "graded", "passed", "passed"]
    assert rows["bob"][:3] == ["0", "graded", "error"]
    assert rows["eve"][:4] == ["2", "graded", "failed", "passed"]
    assert rows["eve"][-1] == "adapters.py:1 imports gc" or "imports gc" in rows["eve"][-1]
    assert rows["zoe"][:2] == ["0", "error"]
    assert json.loads((out / "ada" / "results.json").read_text())["score"] == 5

    reading = out / "reading.csv"
    waiting = [line.split(",")[:4] for line in reading.read_text().splitlines()[1:]]
    assert sorted(waiting) == [[name, "essay", "1", ""] for name in ("'=kim", "ada", "bob", "eve")]
    reading.write_text(reading.read_text().replace("ada,essay,1,,", "ada,essay,1,0.5,short"))
    (tmp_path / "later").mkdir()
    (submissions / "ada").rename(tmp_path / "later" / "ada")
    again = command(checkout, "grade_all", "--submissions", str(tmp_path / "later"), "--out", str(out))
    assert again.returncode == 0, again.stderr
    assert "ada,5.5,graded,passed,passed,read 0.5" in (out / "grades.csv").read_text()
    assert "ada,essay,1,0.5,short" in reading.read_text()
    assert json.loads((out / "ada" / "results.json").read_text())["score"] == 5.5

    archive = tmp_path / "autograder.zip"
    assert command(checkout, "autograder", "--out", str(archive)).returncode == 0
    home = tmp_path / "autograder"
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(home / "source")
    assert not [name for name in zipped.namelist() if "inside.py" in name or "mutants/" in name]
    (home / "submission").mkdir()
    (home / "submission" / "adapters.py").write_text(GOOD)
    script = home / "source" / "run_autograder"

    def graded(python: str) -> dict[str, object]:
        environment = {**os.environ, "AUTOGRADER_ROOT": str(home), "AUTOGRADER_PYTHON": python}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            ["bash", str(script)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads((home / "results" / "results.json").read_text())

    assert graded(sys.executable)["score"] == 5
    broken = graded("/no/such/python")
    assert broken["score"] == 0
    assert "error" in str(broken["extra_data"])
    (home / "submission" / "adapters.py").unlink()
    assert "no adapters file" in str(graded(sys.executable)["extra_data"])
