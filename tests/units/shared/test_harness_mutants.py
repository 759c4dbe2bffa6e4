"""What the kill matrix remembers: a result is believed only while everything that decided it is the same."""

import sys

import pytest

from tests.harness import mutants
from tests.harness.mutants import Memory, Trial
from tests.system.fake_stage import write_workspace

TRIAL = Trial("reference", "double", "reference")


@pytest.fixture
def workspace(tmp_path):
    return write_workspace(tmp_path)


def key(workspace) -> str:
    return Memory(workspace, "a1_basics").key(TRIAL)


def test_nothing_changed_nothing_runs(workspace):
    assert key(workspace) == key(workspace)


@pytest.mark.parametrize(
    "name",
    [
        "shared/store/artifacts.py",
        "shared/runs/runner.py",
        "shared/doors/protocols.py",
        "tests/oracles/double.py",
        "tests/a1_basics/test_double.py",
        "tests/a1_basics/test_double_more.py",
        "tests/a1_basics/what_tests_share.py",
        "a1_basics/inside.py",
    ],
)
def test_a_source_that_decides_is_part_of_the_key(workspace, name):
    before = key(workspace)
    path = workspace.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write("\n")
    assert key(workspace) != before


def test_python_is_part_of_the_key(workspace, monkeypatch):
    before = key(workspace)
    monkeypatch.setattr(sys, "version", "another Python")
    assert key(workspace) != before


@pytest.mark.parametrize("name", ["torch", "numpy"])
def test_a_librarys_version_is_part_of_the_key(workspace, monkeypatch, name):
    before, installed = key(workspace), mutants.version
    monkeypatch.setattr(mutants, "version", lambda asked: "0" if asked == name else installed(asked))
    assert key(workspace) != before
