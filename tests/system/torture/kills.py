"""Kill a long program at a drawn moment, give the same command again, and compare with a run that was left alone."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.system.torture import programs
from tests.system.torture.programs import PROGRAMS, Program
from tests.system.torture.trial import Ended, Moment, forked, until_killed

KINDS = ("kill", "timer", "torn", "torn timer", "torn", "timer")
LATEST_FRACTION = 0.9  # of an undisturbed run's seconds: a timer rings before the end, more often than not
SHOWN_CHARACTERS = 600  # of what a failing command said


@dataclass(frozen=True)
class Verdict:
    """What came of one trial."""

    row: str
    what: str = ""  # what was done, so that it can be done again
    killed: int = 0
    differs: list[str] = field(default_factory=list)  # empty: all is the same to the bit
    seconds: float = 0.0
    not_checked: str = ""  # the reason


@dataclass(frozen=True)
class Whole:
    """An undisturbed run: what it left, and what it took."""

    ended: Ended
    outcome: dict[str, Any]


@dataclass(frozen=True)
class Ground:
    """What all trials share: a folder to work in, what was prepared, and the undisturbed runs by program."""

    folder: Path
    seed: int
    wholes: dict[str, Whole] = field(default_factory=dict)

    def fresh(self, program: Program, name: str) -> Path:
        """A new folder for a trial, with what the program reads."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        if program.needs_prepared:
            shutil.copytree(self.folder / "prepared", folder)
        else:
            folder.mkdir()
        return folder

    def draw(self, row: str, number: int) -> random.Random:
        """The generator of one trial: the same whichever others run."""
        return random.Random(f"{self.seed} {row} {number}")


def undisturbed(ground: Ground, name: str) -> Whole:
    """Run a program to its end.

    Raises:
        RuntimeError: it does not end well even when it is left alone.
    """
    program = PROGRAMS[name]
    folder = ground.fresh(program, f"whole {name}")
    ended = forked(program.command, folder)
    if ended.status:
        raise RuntimeError(f"{name}, undisturbed, ended with status {ended.status}:\n{ended.said}")
    return Whole(ended, programs.outcome(folder))


def moment_of(draw: random.Random, number: int) -> Moment:
    """When trial `number` strikes."""
    kind = KINDS[number % len(KINDS)]
    fraction = draw.uniform(0.0, LATEST_FRACTION if "timer" in kind else 1.0)
    turn = sum(KINDS[earlier % len(KINDS)] == "torn" for earlier in range(number))
    return Moment(kind, fraction, draw.randrange(1 << 30), turn)


def kill_trial(ground: Ground, name: str, number: int) -> Verdict:
    """One kill of a program, and the same command again."""
    program, whole = PROGRAMS[name], ground.wholes[name]
    moment = moment_of(ground.draw(name, number), number)
    folder = ground.folder / f"{name} {number}"

    def strike(shrink: float) -> Ended:
        ground.fresh(program, folder.name)
        return moment.strike(program.command, folder, whole.ended, shrink)

    killed, shrink = until_killed(strike)
    what = f"trial {number}: {moment.kind} at {moment.fraction * shrink:.3f} of it"
    differs = [] if killed.was_killed else [f"it was not killed (status {killed.status}): {shown(killed)}"]
    differs += finished(ground, name, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return Verdict(name, what, int(killed.was_killed), differs)


def finished(ground: Ground, name: str, folder: Path) -> list[str]:
    """Give the command again, undisturbed, and say what differs from a run that never was disturbed."""
    ended = forked(PROGRAMS[name].command, folder)
    if ended.status:
        return [f"the same command again ended with status {ended.status}: {shown(ended)}"]
    return compared(ground, name, folder)


def compared(ground: Ground, name: str, folder: Path) -> list[str]:
    """What differs in a folder from what the undisturbed run left."""
    try:
        return programs.differences(ground.wholes[name].outcome, programs.outcome(folder))
    except Exception as error:  # whatever cannot be read any more is what we are looking for
        return [f"what it left cannot be read: {type(error).__name__}: {error}"]


def shown(ended: Ended) -> str:
    """The end of what a command said."""
    return ended.said.strip()[-SHOWN_CHARACTERS:]


Trial = Callable[[Ground, str, int], Verdict]
