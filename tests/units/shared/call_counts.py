"""What work costs, counted in calls: no clock, so no other work on the machine matters, and the same in every run."""

import sys
from collections.abc import Callable
from typing import Any

FEW, MANY = 12, 48
CONSTANT, LINEAR = 1.2, 5.0  # more than 1 and 4: folders, sorting; far from 4 and 16


def calls(work: Callable[[], Any]) -> int:
    """How many calls, of Python functions and of built-in ones, a piece of work makes."""
    made = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    earlier = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(earlier)
    return made


def calls_ratio(prepare: Callable[[int], Callable[[], Any]]) -> float:
    """Calls of the work with MANY things over those with FEW; it is done once before, for what happens only then."""
    made = []
    for count in (FEW, MANY):
        work = prepare(count)
        work()
        made.append(calls(work))
    return made[1] / made[0]
