"""Surroundings that a program may find itself in: what goes wrong around it is said with its mend, and leaves no trace.

Each trial ends with the same command, undisturbed, and its outcome compared with a run that never was disturbed.
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.system.torture import checkouts, namespaces
from tests.system.torture.faults import JUMPS_SECONDS, Fault
from tests.system.torture.kills import Ground, Trial, Verdict, compared, finished, shown
from tests.system.torture.programs import PROGRAMS
from tests.system.torture.trial import STORM, Ended, forked

WRITERS = ("train_lm", "encode", "corpora.make", "data download", "ladder", "learning_rate", "make toy")
STOPPED = {
    75,
    130,
    *(-number for number in STORM),
}  # pre-empted, Ctrl-C, or before a program listened to signals
SESSIONS = 8  # of a storm
AMPLE_BYTES = 256 << 20
MENDS_FULL = ("Free some", "Free space", "free some")
MENDS_CLOSED = ("read-only", "--store")


@dataclass(frozen=True)
class Surrounding:
    """A row of the table."""

    trial: Trial
    programs: tuple[str, ...]  # whose undisturbed runs it is compared with
    at_most: int = 10  # trials


def program_of(row: str, number: int) -> str:
    """Which program a trial disturbs: one after the other."""
    names = SURROUNDINGS[row].programs
    return names[number % len(names)]


def unexplained(ended: Ended, mends: tuple[str, ...], *, all_of: bool = False) -> list[str]:
    """What is wrong with the way a program ended: status 2 and the words of a mend are wanted, and no traceback."""
    has_mend = (all if all_of else any)(mend in ended.said for mend in mends)
    if ended.status == 2 and has_mend and "Traceback" not in ended.said:
        return []
    return [f"status {ended.status} where an error with its mend was wanted: {shown(ended)}"]


def full_disk(ground: Ground, row: str, number: int) -> Verdict:
    """From a drawn operation on nothing that needs space works; then there is space again."""
    name, draw = program_of(row, number), ground.draw(row, number)
    folder = ground.fresh(PROGRAMS[name], f"{row} {number}")
    at = draw.randrange(ground.wholes[name].ended.operations)
    ended = forked(PROGRAMS[name].command, folder, fault=Fault("full", at))
    wrong = [] if ended.status == 0 else unexplained(ended, MENDS_FULL)
    return done(ground, row, name, folder, wrong, f"full at operation {at}", killed=int(ended.status != 0))


def closed_store(ground: Ground, row: str, number: int) -> Verdict:
    """Nothing can be written at all; then it can."""
    name = program_of(row, number)
    folder = ground.fresh(PROGRAMS[name], f"{row} {number}")
    ended = forked(PROGRAMS[name].command, folder, fault=Fault("read-only"))
    wrong = unexplained(ended, MENDS_CLOSED, all_of=True)
    return done(ground, row, name, folder, wrong, "read-only", killed=1)


def real_full_disk(ground: Ground, row: str, number: int) -> Verdict:
    """A file system that is too small for the program, then is made larger: also what is written outside Python."""
    name, draw = program_of(row, number), ground.draw(row, number)
    before = size_of(ground.folder / "prepared") if PROGRAMS[name].needs_prepared else 0
    added = size_of(ground.folder / f"whole {name}") - before

    def starve(folder: Path) -> list[str]:
        used = shutil.disk_usage(folder).used  # more than the files have: it counts whole pages
        namespaces.remount(folder, used + int(draw.uniform(0.05, 0.7) * added))
        ended = forked(PROGRAMS[name].command, folder)
        wrong = unexplained(ended, MENDS_FULL)
        namespaces.remount(folder, AMPLE_BYTES)
        return wrong

    return mounted(ground, row, name, number, starve)


def real_closed_store(ground: Ground, row: str, number: int) -> Verdict:
    """A file system mounted read-only, then writable again."""
    name = program_of(row, number)

    def close(folder: Path) -> list[str]:
        namespaces.remount(folder, AMPLE_BYTES, read_only=True)
        ended = forked(PROGRAMS[name].command, folder)
        namespaces.remount(folder, AMPLE_BYTES)
        return unexplained(ended, MENDS_CLOSED, all_of=True)

    return mounted(ground, row, name, number, close)


def mounted(
    ground: Ground, row: str, name: str, number: int, disturb: Callable[[Path], list[str]]
) -> Verdict:
    """Disturb a program whose folder is a file system of its own, in a process that alone sees it."""
    place, answer = ground.folder / f"{row} {number}", ground.folder / f"{row} {number}.json"
    place.mkdir()

    def inside(_: Path) -> int:
        try:
            namespaces.enter(namespaces.NEW_MOUNTS)
            namespaces.mount_memory(place, AMPLE_BYTES)
        except namespaces.NotAllowed as reason:
            answer.write_text(json.dumps({"not_checked": str(reason)}))
            return 0
        if PROGRAMS[name].needs_prepared:
            shutil.copytree(ground.folder / "prepared", place, dirs_exist_ok=True)
        differs = disturb(place) + finished(ground, name, place)
        answer.write_text(json.dumps({"killed": 1, "differs": differs}))
        return 0

    ended = forked(inside, place / "nothing is counted")
    if not answer.exists():
        return Verdict(row, name, differs=[f"the trial itself failed: {shown(ended)}"])
    return Verdict(row, name, **json.loads(answer.read_text()))


def jumping_clock(ground: Ground, row: str, number: int) -> Verdict:
    """The time of day jumps all along, the program is killed, every file's time is off, and it goes on."""
    name, draw = program_of(row, number), ground.draw(row, number)
    folder, whole = ground.fresh(PROGRAMS[name], f"{row} {number}"), ground.wholes[name].ended
    clock, delay_seconds = (
        Fault("clock", seed=draw.randrange(1 << 30)),
        draw.uniform(0.2, 0.7) * whole.seconds,
    )
    killed = forked(PROGRAMS[name].command, folder, fault=clock, kill_after_seconds=delay_seconds)
    for path in sorted(folder.rglob("*")):
        moment = path.stat().st_mtime + draw.choice(JUMPS_SECONDS)
        os.utime(path, (moment, moment))
    ended = forked(PROGRAMS[name].command, folder, fault=clock)
    wrong = [] if ended.status == 0 else [f"status {ended.status}: {shown(ended)}"]
    return done(ground, row, name, folder, wrong, "jumps", killed=int(killed.was_killed))


def later_machine_clock(ground: Ground, row: str, number: int) -> Verdict:
    """Killed, then taken up where the clocks that count from the machine's start are a day further."""
    name, draw = program_of(row, number), ground.draw(row, number)
    folder, whole = ground.fresh(PROGRAMS[name], f"{row} {number}"), ground.wholes[name].ended
    killed = forked(PROGRAMS[name].command, folder, kill_after_seconds=draw.uniform(0.2, 0.7) * whole.seconds)
    refusal = ground.folder / f"{row} {number}.refusal"

    def a_day_later(_: Path) -> int:
        try:
            namespaces.advance_monotonic_clock(86_400)
        except namespaces.NotAllowed as reason:
            refusal.write_text(str(reason))
            return 0
        return forked(PROGRAMS[name].command, folder).status

    ended = forked(a_day_later, folder / "nothing is counted")
    if refusal.exists():
        return Verdict(row, name, not_checked=refusal.read_text())
    wrong = [] if ended.status == 0 else [f"status {ended.status}: {shown(ended)}"]
    return done(ground, row, name, folder, wrong, "a day later", killed=int(killed.was_killed))


def storm(ground: Ground, row: str, number: int) -> Verdict:
    """SIGTERM, SIGUSR2 and SIGINT at random intervals, session after session."""
    name, draw = program_of(row, number), ground.draw(row, number)
    folder, whole = ground.fresh(PROGRAMS[name], f"{row} {number}"), ground.wholes[name].ended
    wrong, num_stopped = [], 0
    for _ in range(SESSIONS):
        ended = forked(
            PROGRAMS[name].command,
            folder,
            storm=draw,
            longest_pause_seconds=whole.seconds / 2,
        )
        if ended.status == 0:
            break
        num_stopped += 1
        if ended.status not in STOPPED:
            wrong.append(f"a signal ended it with status {ended.status}: {shown(ended)}")
    return done(ground, row, name, folder, wrong, "storm", killed=num_stopped)


def done(
    ground: Ground, row: str, name: str, folder: Path, wrong: list[str], how: str, killed: int
) -> Verdict:
    """End a trial: the same command again, and what differs."""
    differs = wrong + finished(ground, name, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return Verdict(row, f"{name}, {how}", killed, differs)


def lost_pointer(ground: Ground, row: str, number: int) -> Verdict:
    """A pointer file that leads to nowhere, or holds anything: named with its mend, or passed over."""
    draw = ground.draw(row, number)
    cases: tuple[Callable[[Ground, Path, random.Random], list[str]], ...] = (
        lost_name,
        lost_keys,
        lost_latest,
        lost_store,
    )
    folder = ground.fresh(PROGRAMS["train_lm"], f"{row} {number}")
    case = cases[number % len(cases)]
    differs = case(ground, folder, draw) + finished(ground, "train_lm", folder)
    shutil.rmtree(folder, ignore_errors=True)
    return Verdict(row, case.__name__, differs=differs)


def train(folder: Path) -> Ended:
    return forked(PROGRAMS["train_lm"].command, folder)


def nowhere(draw: random.Random, kind: str) -> bytes:
    """The content of a pointer to an artifact that is not there, or no pointer at all."""
    pointer = json.dumps({"kind": kind, "digest": draw.randbytes(32).hex()}).encode()
    return draw.choice((pointer, pointer[: draw.randrange(len(pointer))], draw.randbytes(40), b""))


def lost_name(ground: Ground, folder: Path, draw: random.Random) -> list[str]:
    """The name of what is read: the error tells how to make it again, or which file to remove."""
    pointer = folder / "artifacts" / "names" / "Shards" / "tiny.json"
    kept = pointer.read_bytes()
    pointer.write_bytes(nowhere(draw, "Shards"))
    ended = train(folder)
    pointer.write_bytes(kept)
    return unexplained(ended, ("Make it again: ", "Remove it"))


def lost_keys(ground: Ground, folder: Path, draw: random.Random) -> list[str]:
    """What says that a step was done: the step is done again, to the same result."""
    wrong = finished(ground, "train_lm", folder)
    for pointer in sorted((folder / "artifacts" / "keys").iterdir()):
        kept = pointer.read_bytes()
        pointer.write_bytes(nowhere(draw, "Checkpoint"))
        ended = train(folder)
        wrong += [] if ended.status == 0 else [f"{pointer.name}: status {ended.status}: {shown(ended)}"]
        if not wrong and pointer.read_bytes() != kept:  # the key of another step, of which nobody asked
            pointer.write_bytes(kept)
    return wrong


def lost_latest(ground: Ground, folder: Path, draw: random.Random) -> list[str]:
    """`checkpoints/latest`: nobody trusts it."""
    at = ground.wholes["train_lm"].ended.operations // 2
    forked(PROGRAMS["train_lm"].command, folder, fault=Fault("kill", at))
    for latest in folder.glob("runs/*/checkpoints/latest"):
        latest.write_bytes(draw.choice((b"step-99999999\n", b"", draw.randbytes(30), b"../../..\n")))
    return []


def lost_store(ground: Ground, folder: Path, draw: random.Random) -> list[str]:
    """A store that is a link to nowhere, as when a disk is not mounted."""
    store, away = folder / "artifacts", folder / "away"
    store.rename(away)
    store.symlink_to(folder / "not mounted")
    ended = train(folder)
    store.unlink()
    away.rename(store)
    return unexplained(ended, ("python -m", "--store"))


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def in_checkout(surround: Callable[[Path], checkouts.Setting], at_most: int = 1) -> Surrounding:
    """A row whose trial is the real `make toy SCALE=tiny` in a copy of this checkout."""

    def trial(ground: Ground, row: str, number: int) -> Verdict:
        setting = surround(ground.folder / f"{row} {number}")
        if setting.not_checked:
            return Verdict(row, not_checked=setting.not_checked)
        checkouts.copy_checkout(setting.checkout)
        ended = forked(lambda _: checkouts.make_toy(setting), setting.checkout)
        wrong = setting.wrong(ended)
        differs = wrong or compared(ground, "make toy", setting.checkout)
        shutil.rmtree(setting.checkout, ignore_errors=True)
        return Verdict(row, "make toy SCALE=tiny", differs=differs)

    return Surrounding(trial, ("make toy",), at_most)


def cut_set_up(ground: Ground, row: str, number: int) -> Verdict:
    """`make setup` killed at a drawn moment, then given again: the environment is whole."""
    folder = ground.folder / f"{row} {number}"
    killed, differs, not_checked = checkouts.cut_set_up(folder, ground.draw(row, number))
    shutil.rmtree(folder, ignore_errors=True)
    return Verdict(row, "make setup", killed, differs, not_checked=not_checked)


SURROUNDINGS = {
    "disk full": Surrounding(full_disk, WRITERS),
    "disk full, real": Surrounding(real_full_disk, ("train_lm", "encode", "corpora.make", "ladder"), 8),
    "read-only store": Surrounding(closed_store, WRITERS, len(WRITERS)),
    "read-only, real": Surrounding(real_closed_store, ("train_lm", "encode", "corpora.make"), 3),
    "clock jumps": Surrounding(jumping_clock, WRITERS),
    "clock, real": Surrounding(later_machine_clock, ("train_lm", "encode"), 2),
    "signal storms": Surrounding(storm, WRITERS),
    "pointers to nowhere": Surrounding(lost_pointer, ("train_lm",)),
    "two make toy at once": in_checkout(checkouts.twice_at_once),
    "path with späces": in_checkout(checkouts.odd_path),
    "locale C": in_checkout(checkouts.locale_c),
    "no git": in_checkout(checkouts.without_git),
    "no compiler": in_checkout(checkouts.without_compiler),
    "umask 077": in_checkout(checkouts.closed_umask),
    "interrupted set-up": Surrounding(cut_set_up, (), 3),
}
