"""The Makefile hands every value to its program whole: spaces and quotes in a path, and nothing where nothing was said.

`PY` is replaced by a program that prints its arguments, and set-up by one that succeeds.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ODD = """my "folder" of it's; text"""


def arguments(*words: str, cwd: Path = ROOT) -> list[str]:
    """What the command behind a target would be called with, a line each."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    result = subprocess.run(
        ["make", "PY=printf '%s\\n'", "SYSTEM_PYTHON=true", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["toy"], ["-m", "shared.journey", "--launch", "local", "toy", "--scale", "toy"]),
        (["toy", "LAUNCH=slurm"], ["-m", "shared.journey", "--launch", "slurm", "toy", "--scale", "toy"]),
        (["toy", "SCALE=tiny", f"TEXT={ODD}"], ["toy", "--scale", "tiny", "--text", ODD]),
        (["a1", "IMPL=learner"], ["a1", "--scale", "toy", "--impl", "learner"]),
        (["grade"], ["-m", "tests.harness.grade", "--stage", "a1_basics"]),
        (
            ["grade", f"IMPL={ODD}", "PROBLEM=rope"],
            ["--stage", "a1_basics", "--impl", ODD, "--problem", "rope"],
        ),
        (["borrow", "PROBLEM=rope", f"REFERENCE={ODD}"], ["--problem", "rope", "--reference", ODD]),
        (["release", f"OUT={ODD}"], ["-m", "shared.doors.release", "--out", ODD]),
        (["grade-all", f"SUBMISSIONS={ODD}", f"OUT={ODD}"], ["--submissions", ODD, "--out", ODD]),
        (["data"], ["-m", "shared.corpora.fetch"]),
        (["data", f"DATASET={ODD}"], ["-m", "shared.corpora.fetch", "--dataset", ODD]),
        (["artifacts"], ["-m", "shared.store.cli", "list"]),
        (["artifacts", "ARGS=show toy"], ["-m", "shared.store.cli", "show", "toy"]),
        (["mutants", "STAGE=a2_systems"], ["-m", "tests.harness.mutants", "--stage", "a2_systems"]),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_values_arrive_whole(words: list[str], wanted: list[str]) -> None:
    found = arguments(*words)
    assert found[-len(wanted) :] == wanted


def test_checkout_may_lie_in_a_folder_with_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    assert arguments("status", cwd=folder) == ["-m", "tests.harness.status"]


def test_missing_python_is_said_with_the_mend() -> None:
    result = subprocess.run(
        ["make", "SYSTEM_PYTHON=", "setup"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "install Python 3.11, 3.12 or 3.13" in result.stderr
