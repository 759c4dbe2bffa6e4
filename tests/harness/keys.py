"""What the key files of numeric problems (`tests/<stage>/key_<problem>.py`) are written with.

A key file has `CHECKS`: question -> a function of the answer and of what else was given, which returns "" when the
answer is right and otherwise what the mistake may be, never the number. Keys are computed when they are asked for.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.doors.exercise import Question

NO_GUESS = (
    "not it: write each factor down with its unit, and try the formula on a model with one layer of width one"
)


@dataclass(frozen=True)
class Given:
    """What a check may look at besides the answer."""

    question: Question
    answers: Mapping[str, Any]  # all answers of the same problem
    store: Path  # the learner's artifacts


Check = Callable[[Any, Given], str]


class NotHere(Exception):
    """What the question speaks of is not on this machine, so that the answer cannot be checked."""


def number(
    key: Callable[[Given], float],
    mistakes: Mapping[str, Callable[[Given], float]] | None = None,
    otherwise: str = NO_GUESS,
) -> Check:
    """A check against a computed number. `mistakes`: what to say -> the number that this mistake arrives at.

    `otherwise` is said of a number that no mistake known here arrives at; the default is about formulas.
    """

    def check(answer: Any, given: Given) -> str:
        wanted, question = key(given), given.question
        if is_near(answer, wanted, question.tolerance_fraction, question.slack):
            return ""
        likely = {text: wrong(given) for text, wrong in (mistakes or {}).items()}
        for text, wrong in [*likely.items(), *slips(wanted, question.unit)]:
            # A little wider than the question's own tolerance: rounding on the way to a wrong number is likely too.
            if is_near(answer, wrong, max(question.tolerance_fraction, 2e-3), question.slack):
                return text
        return otherwise

    return check


def is_near(answer: float, wanted: float, fraction: float, slack: float) -> bool:
    """Whether the answer is the wanted number up to a relative and an absolute tolerance; exact when both are 0."""
    if not fraction and not slack:
        return answer == wanted
    return abs(answer - wanted) <= max(fraction * abs(wanted), slack) * (1 + 1e-9)


def slips(wanted: float, unit: str) -> list[tuple[str, float]]:
    """Mistakes of units and of counting that any number can suffer."""
    out = []
    bytes_unit = re.search(r"\b([MGT])B\b", unit)
    if bytes_unit:
        power = "MGT".index(bytes_unit[1]) + 2
        out.append(("a unit: GB are 10^9 bytes here; GiB would be 2^30", wanted * (1000 / 1024) ** power))
    if "per cent" in unit:
        out.append(("a unit: per cent are asked for, of which a whole has a hundred", wanted / 100))
    else:
        prefix = "a unit: look at the power of ten that is asked for"
        out += [(prefix, wanted * 1000.0**power) for power in (-4, -3, -2, -1, 1, 2, 3, 4)]
        what = (
            "a multiplication and an addition are two FLOPs"
            if "FLOP" in unit
            else "is something counted once, or once too often?"
        )
        out += [(f"a factor of two: {what}", wanted * factor) for factor in (0.5, 2.0)]
    return out
