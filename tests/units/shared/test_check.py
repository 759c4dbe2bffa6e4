"""`make check` finds what is planted: each law is broken once, and a clean tree breaks none."""

from pathlib import Path

import pytest

from shared.check import check_door, check_python, check_ruff, check_types, other_platforms
from shared.laws import violations

ROOT = Path(__file__).resolve().parents[3]
HOME = "/" + "home/someone/data"  # in two pieces, so that this file names no such path itself
INDEX = "https://" + "py" + "pi.org/simple"

FRONT = {
    "a1_basics/HANDOUT.md": "Read me.\n",
    "a1_basics/exercises.py": '"""Metadata."""\n',
    "a1_basics/configs.py": '"""Settings."""\n',
}
CLEAN = FRONT | {
    "a1_basics/adapters.py": '"""The door."""\n\nfrom a1_basics.model import layers\nimport shared.errors\n',
    "a1_basics/run/train.py": '"""Trains."""\n\nINPUTS = ("Shards",)\nOUTPUTS = ("Checkpoint",)\n',
    "shared/resolve.py": '"""Resolves."""\n\nimport a1_basics.adapters\nimport a1_basics.exercises\n',
    "tests/a1_basics/test_rope.py": "from tests.oracles import rope\n",
    "tests/units/a1_basics/test_bpe.py": "from a1_basics.tokenizers import bpe\n",
    "README.md": "Read `docs/lab.md` and put data in /path/to/data.\n",
}
PLANTED = [
    ("a2_systems/x.py", "import a1_basics.model.layers", "another stage"),
    ("a2_systems/x.py", "from a1_basics.adapters import run_rope", "another stage"),
    ("a2_systems/x.py", "import importlib\nimportlib.import_module('a1_basics.adapters')", "another stage"),
    ("a1_basics/x.py", "import learner.a1_basics.adapters", "shared.doors.resolve"),
    ("a1_basics/x.py", "from tests.oracles import rope", "does not depend on its tests"),
    ("shared/x.py", "from a1_basics import model", "shared imports a1_basics.model"),
    ("shared/x.py", "from a1_basics.adapters_more import y", "shared imports"),
    ("tests/a1_basics/test_x.py", "from a1_basics import adapters", "only the `adapters` fixture"),
    (
        "tests/a1_basics/test_x.py",
        "def test_it():\n    import a1_basics.adapters",
        "only the `adapters` fixture",
    ),
    ("tests/oracles/x.py", "from a1_basics.adapters import run_rope", "only the `adapters` fixture"),
    ("tests/harness/x.py", "from a1_basics.model import rope", "the grader imports"),
    ("tests/units/a2_systems/test_x.py", "from a1_basics.model import rope", "inside of another part"),
    ("a1_basics/model/x.py", "from ...a2_systems import adapters", "another stage"),
    ("a1_basics/run/x.py", "INPUTS = ()", "declares no OUTPUTS"),
    ("a1_basics/run/x.py", "INPUTS = ()\nOUTPUTS = ()\nprint('at import')", "while it is imported"),
    ("a1_basics/run/x.py", "INPUTS = ()\nOUTPUTS = ()\nfor i in range(3):\n    pass", "while it is imported"),
    ("shared/x.py", "import torch\ntorch.load('x')", "weights_only"),
    ("shared/x.py", "import torch\ntorch.load('x', weights_only=False)", "weights_only"),
    ("shared/x.py", "import pickle\npickle.loads(b'')", "unpickles"),
    ("shared/x.py", "import numpy as np\nnp.load('x', allow_pickle=True)", "unpickles"),
    ("shared/x.py", "try:\n    pass\nexcept:\n    pass", "catches everything"),
    ("shared/x.py", "from __future__ import annotations", "__future__"),
    ("shared/x.py", f"DATA = '{HOME}'", "path of some machine"),
    ("docs/x.md", f"Put it into {HOME}.", "path of some machine"),
    ("pyproject.toml", f"[tool.x]\nurl = '{INDEX}'", "package index"),
    ("Makefile", "setup:\n\tpip install --index" + "-url https://example.org/simple", "package index"),
    ("tests/units/shared/test_x.py", "import time\ndef test_it():\n    time.sleep(1)", "sleeps"),
    ("shared/utils.py", "X = 1", "says nothing"),
    ("shared/x.py", "def broken(:\n", "does not parse"),
]


def plant(root: Path, files: dict[str, str]) -> list[str]:
    """Write the files and return what the laws say about them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [str(violation) for violation in violations(root, [Path(name) for name in files])]


def test_clean_tree_breaks_no_law(tmp_path: Path) -> None:
    assert plant(tmp_path, CLEAN) == []


@pytest.mark.parametrize(("name", "code", "words"), PLANTED)
def test_planted_violation_is_named_with_its_place(tmp_path: Path, name: str, code: str, words: str) -> None:
    found = plant(
        tmp_path, {name: code if name.endswith((".md", ".toml", "file")) else f'"""Doc."""\n\n{code}\n'}
    )
    assert len(found) == 1, found
    assert found[0].startswith(f"{name}:")
    assert words in found[0]


SETTINGS = """import dataclasses
from shared.runs.program import run_program


@dataclasses.dataclass(frozen=True)
class Base:
    seed: int = 0{seed}


@dataclasses.dataclass(frozen=True)
class Shape:
    width: int = 8{width}


@dataclasses.dataclass(frozen=True)
class Config(Base):
    # names; --help finds what stands above
    names: tuple[str, ...] = (
        "one",
    )
    steps: int = {steps}
    shape: Shape | None = None  # another dataclass


@dataclasses.dataclass(frozen=True)
class NoSetting:
    count: int = 0


def main(config: Config) -> None: ...


if __name__ == "__main__":
    run_program(main, {{"default": Config()}})
"""
SAID = {"seed": "  # of the batches", "width": "  # numbers for a token", "steps": "3  # of the optimizer"}


def test_a_program_with_a_comment_for_each_setting_breaks_no_law(tmp_path: Path) -> None:
    assert plant(tmp_path, {"shared/x.py": '"""Doc."""\n' + SETTINGS.format(**SAID)}) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": ""}, "Base.seed"),  # inherited
        ({"width": ""}, "Shape.width"),  # nested
        ({"steps": "3"}, "Config.steps"),
        ({"steps": "(\n        3  # of the optimizer\n    )"}, "Config.steps"),  # where --help does not look
    ],
)
def test_a_setting_without_a_comment_that_help_shows_is_named(tmp_path: Path, change, field) -> None:
    found = plant(tmp_path, {"shared/x.py": '"""Doc."""\n' + SETTINGS.format(**SAID | change)})
    assert len(found) == 1, found
    assert f"{field} has no comment" in found[0]


def test_missing_docstring_is_named(tmp_path: Path) -> None:
    assert plant(tmp_path, {"shared/x.py": "X = 1\n"}) == ["shared/x.py:1 has no module docstring"]


def test_stage_without_its_front_is_named(tmp_path: Path) -> None:
    assert plant(tmp_path, {"a1_basics/adapters.py": '"""The door."""\n', **FRONT}) == [
        "a1_basics:1 lacks run, part of every stage's front"
    ]


def test_program_of_the_grader_may_wait(tmp_path: Path) -> None:
    assert plant(tmp_path, {"tests/harness/watch.py": "import time\n\ntime.sleep(1)\n"}) == []


def test_lock_and_mutants_may_do_what_others_may_not(tmp_path: Path) -> None:
    mutant = '"""Wrong: unpickles."""\n\nimport pickle\n\npickle.loads(b"")\n'
    assert plant(tmp_path, {"uv.lock": INDEX, "tests/mutants/a1_basics/rope/x.py": mutant}) == []


def test_heavy_import_of_a_door_is_found_through_another_module(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {"a1_basics/adapters.py": "import a1_basics.inside\n", "a1_basics/inside.py": "import numba\n"},
    )
    (tmp_path / "numba.py").write_text("", encoding="utf-8")  # stands for the real one, which takes a second
    finding = check_door("a1_basics", tmp_path)
    assert finding.state == "failed"
    assert "numba" in finding.detail


def test_door_that_cannot_be_imported_fails(tmp_path: Path) -> None:
    plant(tmp_path, {"a1_basics/adapters.py": "import no_such_module\n"})
    finding = check_door("a1_basics", tmp_path)
    assert finding.state == "failed"
    assert "no_such_module" in finding.detail


def test_light_door_passes(tmp_path: Path) -> None:
    plant(tmp_path, {"a1_basics/adapters.py": "import json\n"})
    assert check_door("a1_basics", tmp_path).state == "ok"


def test_lint_and_format_failures_are_found(tmp_path: Path) -> None:
    plant(tmp_path, {"shared/x.py": "import os\nx = {  'a':1}\n"})
    assert "F401" in check_ruff("lint", ["check"], tmp_path, "").detail
    assert check_ruff("format", ["format", "--check"], tmp_path, "").state == "failed"


@pytest.mark.parametrize("name", ["shared/x.py", "tests/harness/x.py"])
def test_type_error_is_found_with_its_line(tmp_path: Path, name: str) -> None:
    plant(tmp_path, {name: 'def double(x: int) -> int:\n    return 2 * x\n\n\ndouble("a")\n'})
    finding = check_types(tmp_path)
    assert finding.state == "failed"
    assert f"{name}:5" in finding.detail


def test_what_is_not_here_is_named_not_checked(tmp_path: Path) -> None:
    assert {finding.state for finding in other_platforms()} == {"not checked"}
    assert len(other_platforms()) == 2
    assert check_python("3.99", tmp_path).state == "not checked"
