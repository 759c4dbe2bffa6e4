"""A learner's stubs of stage 2: each graded function has a signature, found where the stage's protocol stands."""

import pytest

from shared.doors.exercise import exercise, exercises
from shared.doors.scaffold import Signatures, stub_of
from shared.errors import ContractError


def test_every_graded_function_has_a_stub_that_can_be_read():
    signatures = Signatures("a2_systems")
    names = [name for exercise in exercises("a2_systems") for name in exercise.door]
    assert "get_ddp" in names
    for name in names:
        compile(signatures.stub(name, "What it does.", "not written yet"), name, "exec")
    assert signatures.imports(["get_ddp"]) == {"nn": "from torch import nn"}


def test_a_stub_names_the_command_of_its_own_stage():
    stub = stub_of(
        exercise("a2_systems", "naive_ddp"), "get_naive_ddp", "a2_systems", Signatures("a2_systems")
    )
    assert "make hint STAGE=a2_systems PROBLEM=naive_ddp" in stub


def test_a_problem_asked_of_the_wrong_stage_is_told_where_it_is():
    with pytest.raises(ContractError, match=r"not of a1_basics: STAGE=a2_systems PROBLEM=naive_ddp"):
        exercise("a1_basics", "naive_ddp")
    with pytest.raises(ContractError, match=r"no problem 'naive_dpd'; PROBLEM= takes one of: .*naive_ddp"):
        exercise("a2_systems", "naive_dpd")
