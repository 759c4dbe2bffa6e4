"""Mutants told as changes of a correct solution: what they become, and what of them is refused."""

import pytest

from shared.errors import ContractError
from tests.harness.derived import changed
from tests.harness.mutants import Memory, code_of, trials
from tests.system.fake_stage import write_workspace

STAGE = "a1_basics"
BASE = 'SOLVES = ("double",)\n\n\ndef run_double(x):\n    y = x\n    return y + x\n'
MUTANT = '"""Forgets one."""\n\nREJECTED_BY = "test_doubles"\nBASE = "plain"\nCHANGES = (("y + x", "y"),)\n'


@pytest.fixture
def files(tmp_path):
    base, mutant = tmp_path / "plain.py", tmp_path / "mutant.py"
    base.write_text(BASE)
    return base, mutant


def test_only_the_named_text_changes(files):
    assert changed(*files, (("y + x", "y"),)) == BASE.replace("y + x", "y")
    twice = changed(*files, (("y + x", "y"), ("    y = x\n", "    y = -x\n")))
    assert twice == BASE.replace("y + x", "y").replace("y = x", "y = -x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (None, "CHANGES = "),
        ((), "CHANGES = "),
        (("y + x", "y"), "CHANGES = "),
        ((("y + x", "y + x"),), "CHANGES = "),
        ((("z", "y"),), "0 times; wanted once"),
        ((("y", "x"),), "2 times; wanted once"),
    ],
)
def test_a_change_that_would_change_nothing_or_too_much_is_refused(files, changes, said):
    with pytest.raises(ContractError, match=said):
        changed(*files, changes)


def test_a_mutant_is_tried_again_when_its_base_changed(tmp_path):
    workspace = write_workspace(tmp_path)
    base = workspace.root / "tests/alternatives" / STAGE / "plain.py"
    mutant = workspace.root / "tests/mutants" / STAGE / "double" / "forgets.py"
    for path, text in ((base, BASE), (mutant, MUTANT)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    listed = workspace.exercises(STAGE)
    trial = next(t for t in trials(workspace, STAGE, listed) if t.kind == "mutant")
    made = code_of(workspace, STAGE, trial)
    assert made is not None
    assert made.read_text() == BASE.replace("y + x", "y")
    before = Memory(workspace, STAGE).key(trial)
    base.write_text(BASE + "# a remark\n")
    assert Memory(workspace, STAGE).key(trial) != before
    base.unlink()
    with pytest.raises(ContractError, match="BASE names no alternative"):
        list(trials(workspace, STAGE, listed))
