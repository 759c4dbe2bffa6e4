"""Copies of this checkout in odd places and odd environments, and the real `make` in them."""

import os
import random
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.torture.trial import Ended, forked, until_killed

ROOT = Path(__file__).resolve().parents[3]
STAYS = (".git", ".venv", "artifacts", "runs", "data", "build", "learner", ".pytest_cache", ".ruff_cache")
COMPILERS = re.compile(r"(.*-)?(cc|c\+\+|gcc|g\+\+|clang|clang\+\+|c89|c99|tcc|ld|as)(-[\d.]+)?")
GIT = re.compile(r"git(-.*)?")
TWICE = """
make toy SCALE=tiny > one.txt 2>&1 & first=$!
make toy SCALE=tiny > two.txt 2>&1; second=$?
wait $first; first=$?
for each in one two; do cat $each.txt; rm $each.txt; done
echo "ended with $first and $second"
[ $first = 0 ] || [ $second = 0 ]
"""
PROBE = "import torch, numpy, numba, safetensors, regex, tyro, rich; torch.ones(2, 2) @ torch.ones(2, 2)"
REFUSAL = "is being written by"  # and the mend: wait for it
LATEST_SECONDS = 20.0  # of a set-up that is killed


@dataclass(frozen=True)
class Setting:
    """Where a journey is made, and with what around it."""

    checkout: Path
    environment: dict[str, str] = field(default_factory=dict)
    umask: int | None = None
    command: tuple[str, ...] = ("make", "toy", "SCALE=tiny")
    not_checked: str = ""

    def wrong(self, ended: Ended) -> list[str]:
        """What is wrong with how it ended; of two at once, one may have been told to wait for the other."""
        statuses = re.findall(r"^ended with (\d+) and (\d+)$", ended.said, re.MULTILINE)
        was_refused = any(status != "0" for pair in statuses for status in pair)
        if ended.status == 0 and "Traceback" not in ended.said and (not was_refused or REFUSAL in ended.said):
            return []
        return [f"ended with status {ended.status}: {ended.said[-600:]}"]


def copy_checkout(folder: Path, *, venv: bool = True) -> None:
    """Copy what the checkout holds, without what its commands made; with its environment by a link."""

    def left_out(directory: str, names: list[str]) -> set[str]:
        return {name for name in names if name in STAYS and Path(directory) == ROOT}

    shutil.copytree(ROOT, folder, ignore=left_out, symlinks=True, dirs_exist_ok=True)
    if venv:
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())


def make_toy(setting: Setting) -> int:
    """Become the real command, in a process of its own."""
    return become(setting.checkout, setting.command, setting.environment, setting.umask)


def become(
    folder: Path, command: tuple[str, ...], environment: dict[str, str], umask: int | None = None
) -> int:
    """Replace this process by a command; what `make` and our own interpreter left in the environment stays behind."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "PYTHON"))
    }
    os.chdir(folder)
    if umask is not None:
        os.umask(umask)
    os.execvpe(command[0], command, {**kept, **environment})


def twice_at_once(folder: Path) -> Setting:
    """Two at once: both do it, or one is told that the other is at it."""
    return Setting(folder, command=("sh", "-c", TWICE))


def odd_path(folder: Path) -> Setting:
    """A path with spaces, quotes and letters outside ASCII."""
    return Setting(folder / "späces and 文字, it's")


def locale_c(folder: Path) -> Setting:
    """The locale C, in which Python takes no text for UTF-8."""
    return Setting(
        folder, {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "80"}
    )


def without_git(folder: Path) -> Setting:
    """No git on PATH."""
    return Setting(folder, {"PATH": path_without(GIT, folder.with_name(f"{folder.name} bin"))})


def without_compiler(folder: Path) -> Setting:
    """No C compiler and no linker on PATH."""
    return Setting(folder, {"PATH": path_without(COMPILERS, folder.with_name(f"{folder.name} bin"))})


def closed_umask(folder: Path) -> Setting:
    """Files that nobody else may read."""
    return Setting(folder, umask=0o077)


def path_without(names: re.Pattern[str], folder: Path) -> str:
    """A folder with a link to every program on PATH but some."""
    folder.mkdir(parents=True)
    for place in os.environ.get("PATH", "").split(os.pathsep):
        for program in sorted(Path(place).iterdir()) if place and Path(place).is_dir() else ():
            if not names.fullmatch(program.name) and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return str(folder)


def set_up(folder: Path) -> int:
    """Become the real `make setup`."""
    return become(folder, ("make", "setup"), {})


def cut_set_up(folder: Path, draw: random.Random) -> tuple[int, list[str], str]:
    """Kill `make setup` at a drawn moment, then let it end; kills, what differs, and why it could not be checked."""
    delay_seconds = draw.uniform(0.2, LATEST_SECONDS)

    def strike(shrink: float) -> Ended:
        shutil.rmtree(folder, ignore_errors=True)
        copy_checkout(folder, venv=False)
        return forked(set_up, folder, kill_after_seconds=delay_seconds * shrink)

    killed, _ = until_killed(strike)
    if not killed.was_killed:
        return 0, [], f"make setup does not work here: {killed.said.strip()[-200:]}"
    ended = forked(set_up, folder)
    if ended.status:
        shutil.rmtree(folder, ignore_errors=True)
        copy_checkout(folder, venv=False)
        control = forked(set_up, folder)
        if control.status:
            return 0, [], f"make setup does not work here: {control.said.strip()[-200:]}"
        return 1, [f"set-up after a kill ended with status {ended.status}: {ended.said[-600:]}"], ""
    probe = forked(lambda _: become(folder, (str(folder / ".venv/bin/python"), "-c", PROBE), {}), folder)
    again = forked(set_up, folder)
    wrong = [] if probe.status == 0 else [f"what it made does not start: {probe.said[-600:]}"]
    wrong += (
        []
        if "nothing to do" in again.said
        else [f"the third set-up had something to do: {again.said[-600:]}"]
    )
    return int(killed.was_killed), wrong, ""
