"""Problems that go on with the function of an earlier one."""

import pytest

from shared.doors.exercise import Exercise, checked
from shared.errors import ContractError

FORWARD = Exercise(id="forward", title="Forward", points=1, door=("get_kernel",))
BACKWARD = Exercise(
    id="backward", title="Backward", points=1, door=("get_kernel",), prerequisites=("forward",)
)
APART = Exercise(id="apart", title="Apart", points=1, door=("get_kernel",))


def test_a_function_may_be_graded_again_by_a_problem_that_goes_on_with_it():
    assert [exercise.id for exercise in checked("a2_systems", (FORWARD, BACKWARD))] == ["forward", "backward"]


def test_a_function_has_no_two_owners_otherwise():
    with pytest.raises(ContractError, match="get_kernel belongs to 'forward' and 'apart'"):
        checked("a2_systems", (FORWARD, APART))
