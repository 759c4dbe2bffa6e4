"""Run a program, or an array of them, here, over ranks, or on a Slurm cluster: one vocabulary, the same flags.

    python -m shared.runs.launch a1_basics.run.train_lm --preset toy                          LAUNCH=local
    python -m shared.runs.launch --launch torchrun --ranks 2 a1_basics.run.train_lm ...       ranks of one host
    python -m shared.runs.launch --launch slurm --minutes 240 a1_basics.run.train_lm ...      a job
    python -m shared.runs.launch --launch slurm --each max-learning-rate=1e-3,3e-3 ...        an array of jobs

Options come before the program's name, its flags after it. With --dry-run nothing starts: a cluster's batch script, or
the command, is printed. A job that is pre-empted, reaches its time limit or loses its node is queued again and goes on
from its last checkpoint, because every program does when the same command is given twice.

What a cluster wants to know beside that (partition, account, modules) is said once, in site.toml: docs/slurm.md. The
journeys take the same options: make a1 SCALE=one_gpu LAUNCH=slurm ARGS="--gpus 1 --minutes 240". `make runs` lists the
jobs with their logs. Exit status: the first of the programs' that is not 0; 2 when nothing could be started; 130 after
Ctrl-C, which ends the waiting but no job: the same command waits for it again.
"""

import argparse
import itertools
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from shared.errors import ConfigError, WorkspaceError
from shared.runs.config import did_you_mean

Kind = Literal["local", "torchrun", "slurm"]
KINDS: tuple[Kind, ...] = ("local", "torchrun", "slurm")
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
SITE = Path("site.toml")


@dataclass(frozen=True)
class Command:
    """A program of the workspace with its flags."""

    program: str  # a1_basics.run.train_lm
    flags: tuple[str, ...] = ()

    def argv(self) -> list[str]:
        """The command for this interpreter."""
        return [sys.executable, "-m", self.program, *self.flags]

    def __str__(self) -> str:
        return shlex.join(["python", "-m", self.program, *self.flags])


@dataclass(frozen=True)
class Site:
    """What a cluster wants to be told, kept out of the commands: the file `site.toml`."""

    partition: str = ""
    account: str = ""
    constraint: str = ""  # kinds of node, such as "a100|h100"
    qos: str = ""
    setup: tuple[str, ...] = ()  # shell lines before the program: "module load cuda/12.4"
    options: Mapping[str, str] = field(
        default_factory=dict
    )  # any other option of sbatch: {reservation = "course"}


@dataclass(frozen=True)
class Launch:
    """Where commands run, and what a job asks of the cluster."""

    kind: Kind = "local"
    ranks: int = 1  # processes per node under torchrun; on Slurm more than one starts torchrun there
    nodes: int = 1
    gpus: int = 0  # per node
    cores: int = 2  # per node
    memory_gb: float = 8.0  # per node
    minutes: int = 60  # a job that needs longer is queued again and goes on
    grace_seconds: int = 120  # how long before its end a job is told to save
    at_most: int = 8  # commands at once
    folder: Path = Path("runs/launch")  # scripts and logs of jobs
    site: Site = Site()


def launch(commands: Sequence[Command], how: Launch = Launch()) -> list[int]:
    """Run the commands and wait for all; their exit statuses, in order.

    Output goes to the terminal when there is one command, else each has a log, named at its end.

    Raises:
        ConfigError: a kind of launch that this machine does not offer, or that cannot do what is asked.
    """
    if how.kind == "slurm":
        from shared.runs.slurm import run_jobs

        return run_jobs(commands, how)
    if how.nodes > 1:
        raise ConfigError(
            f"{how.nodes} nodes need LAUNCH=slurm; LAUNCH={how.kind} runs on this machine alone"
        )
    argvs = [local_argv(command, how) for command in commands]
    if len(commands) == 1:
        return [_run(argvs[0], None)]
    how.folder.mkdir(parents=True, exist_ok=True)
    logs = [how.folder / f"{number:04d}-{command.program}.log" for number, command in enumerate(commands)]
    with ThreadPoolExecutor(how.at_most if how.kind == "local" else 1) as pool:
        statuses = list(pool.map(_run, argvs, logs))
    for command, status, log in zip(commands, statuses, logs, strict=True):
        print(f"{'done' if status == 0 else f'exit status {status}'}: {command}  (log: {log})")
    return statuses


def local_argv(command: Command, how: Launch) -> list[str]:
    """The command of one host: the program itself, or torchrun around it with a port that is free."""
    if how.kind == "local":
        return command.argv()
    ranks = ["--standalone", "--nnodes=1", f"--nproc-per-node={how.ranks}"]
    ranks += [f"--shutdown-timeout={how.grace_seconds}"]
    return [sys.executable, "-m", "shared.runs.torchrun", *ranks, "-m", command.program, *command.flags]


def _run(argv: Sequence[str], log: Path | None) -> int:
    if log is None:
        with subprocess.Popen(argv) as process:
            return _wait(process)
    with log.open("ab") as out, subprocess.Popen(argv, stdout=out, stderr=out) as process:
        return _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Ctrl-C reaches the program from the terminal as well: it saves its state and leaves, and we wait for that."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            if threading.current_thread() is not threading.main_thread():
                raise


def array(command: Command, each: Mapping[str, Sequence[str]]) -> list[Command]:
    """One command for every combination of values; a name of its own each, so that they do not overwrite each other.

    >>> for one in array(Command("a.run.b", ("--name", "x")), {"lr": ["1", "2"]}): print(*one.flags)
    --name x-lr1 --lr 1
    --name x-lr2 --lr 2
    """
    if not each:
        return [command]
    flags, name = [*command.flags], command.program.rpartition(".")[2]
    for index, flag in enumerate(flags):
        if flag == "--name" and index + 1 < len(flags):
            name = flags[index + 1]
            del flags[index : index + 2]
            break
        if flag.startswith("--name="):
            name = flag.removeprefix("--name=")
            del flags[index]
            break
    commands = []
    for values in itertools.product(*each.values()):
        chosen = dict(zip(each, values, strict=True))
        label = "-".join(f"{key.rpartition('.')[2]}{value}" for key, value in chosen.items())
        varied = [word for key, value in chosen.items() for word in (f"--{key}", value)]
        commands.append(Command(command.program, (*flags, "--name", f"{name}-{label}", *varied)))
    return commands


def read_site(path: Path | None) -> Site:
    """The site file; the default one may be absent.

    Raises:
        ConfigError: it is not there, no TOML, or has a key that we do not know.
    """
    if path is None and not SITE.exists():
        return Site()
    path = path or SITE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"site file {path}: {error.strerror}; docs/slurm.md shows one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"site file {path} is no TOML: {error}; docs/slurm.md shows one") from None
    known = [each.name for each in fields(Site)]
    for key, value in table.items():
        if key not in known:
            raise ConfigError(
                f"site file {path}: unknown key {key!r}{did_you_mean(key, known)} Known: {known}"
            )
        wanted, example = {
            "setup": (list, '["module load cuda/12.4"], lines of shell'),
            "options": (dict, '{ reservation = "course" }, options of sbatch'),
        }.get(key, (str, '"..." in quotes'))
        parts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
        if not isinstance(value, wanted) or any(isinstance(part, (list, dict)) for part in parts):
            raise ConfigError(f"site file {path}: {key} = {value!r} should be like {key} = {example}")
    setup = tuple(str(line) for line in table.pop("setup", ()))
    options = {str(key): str(value) for key, value in table.pop("options", {}).items()}
    return Site(**table, setup=setup, options=options)


def describe(commands: Sequence[Command], how: Launch) -> str:
    """What would run: the command lines, or the batch script of a cluster."""
    if how.kind == "slurm":
        from shared.runs.slurm import batch_script

        return batch_script(commands, how)
    return "\n".join(shlex.join(["python", *local_argv(command, how)[1:]]) for command in commands)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the first exit status that is not 0."""
    options = _arguments().parse_args(argv)
    try:
        each: dict[str, list[str]] = {}
        for text in options.each:
            key, equals, values = text.lstrip("-").partition("=")
            if not equals or not values:
                raise ConfigError(f"--each {text!r}: wanted FLAG=VALUE,VALUE,... of the program's own flags")
            each[key] = values.split(",")
        how = asked(options)
        commands = array(Command(options.program, tuple(options.flags)), each)
        if options.dry_run:
            print(describe(commands, how))
            return 0
        return next((status for status in launch(commands, how) if status), 0)
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def asked(options: argparse.Namespace) -> Launch:
    """The launch that a command line with `add_options` asks for; what it does not offer is the default.

    Raises:
        ConfigError: a size that cannot be, or a site file that is wrong.
    """
    known = {name: getattr(options, name, default) for name, default in vars(Launch()).items()}
    least = {"ranks": 1, "nodes": 1, "cores": 1, "minutes": 1, "at_most": 1, "gpus": 0, "grace_seconds": 1}
    for name, value in least.items():
        if known[name] < value:
            raise ConfigError(f"--{name.replace('_', '-')} {known[name]}: at least {value} is wanted")
    if known["memory_gb"] <= 0:
        raise ConfigError(f"--memory-gb {known['memory_gb']}: a job needs some memory")
    if known["kind"] == "slurm" and known["grace_seconds"] >= 60 * known["minutes"]:
        raise ConfigError(
            f"--grace-seconds {known['grace_seconds']} leaves nothing of --minutes {known['minutes']} to work in"
        )
    is_for_site = options.site is not None or known["kind"] == "slurm"
    return Launch(**{**known, "site": read_site(options.site) if is_for_site else Site()})


def add_options(parser: argparse.ArgumentParser) -> None:
    """What a job asks of the cluster, for every command line that launches."""
    default = Launch()
    add = parser.add_argument_group("with LAUNCH=slurm, for each job").add_argument
    add("--gpus", type=int, default=default.gpus, help=f"GPUs per node (default: {default.gpus})")
    add("--cores", type=int, default=default.cores, help=f"cores, and threads, per node ({default.cores})")
    add("--memory-gb", type=float, default=default.memory_gb, help=f"memory per node ({default.memory_gb:g})")
    add(
        "--minutes",
        type=int,
        default=default.minutes,
        help=f"time limit, after which it is queued again and goes on ({default.minutes})",
    )
    add(
        "--grace-seconds",
        type=int,
        default=default.grace_seconds,
        help=f"time to save before that ({default.grace_seconds})",
    )
    add("--site", type=Path, help=f"partition, account, modules ... (default: {SITE}, when there is one)")


def _arguments() -> argparse.ArgumentParser:
    default = Launch()
    parser = argparse.ArgumentParser(
        prog="python -m shared.runs.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--launch", dest="kind", choices=KINDS, default=default.kind, help="where (LAUNCH=); default: local")
    add("--ranks", type=int, default=default.ranks, help="processes per node, started by torchrun")
    add("--nodes", type=int, default=default.nodes, help="nodes of a job (LAUNCH=slurm)")
    add("--at-most", type=int, default=default.at_most, help="commands that run at once")
    add(
        "--each", action="append", default=[], metavar="FLAG=V,V", help="an array: each value, or combination"
    )
    add("--folder", type=Path, default=default.folder, help="scripts and logs")
    add("--dry-run", action="store_true", help="print what would run, and start nothing")
    add("program", help="a module of the workspace, such as a1_basics.run.train_lm")
    add("flags", nargs=argparse.REMAINDER, help="its own flags")
    add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
