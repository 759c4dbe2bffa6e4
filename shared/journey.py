"""The journeys of the workspace: each a list of programs, printed as the commands that you could type yourself.

    python -m shared.journey toy                    text to tokenizer to trained model to stories and a report
    python -m shared.journey toy --text FOLDER      the same from your own text
    python -m shared.journey a1 --impl learner      stage 1's longer version, with your own code in it

A step whose inputs, settings and code are unchanged says so and is skipped, so a journey that was stopped goes on where
it was. The programs run one after another in forks of one process that has already imported torch.
"""

import argparse
import importlib
import os
import runpy
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shared.doors.load import WORKSPACE, is_release, lacking
from shared.errors import WorkspaceError
from shared.journeys import EXPERIMENTS, SCALES, SIZES, Step, journey
from shared.runs.launch import INTERRUPTED, KINDS, Command, Launch, add_options, asked, launch

# They keep unfinished work under `runs`.
RESUMED = ("encode", "train_lm", "train_parallel", "ladder", *EXPERIMENTS)
# They compute on a GPU, when jobs ask for any.
ON_GPU = (
    *("train_lm", "train_parallel", "evaluate_lm", "generate", "attention_probe", "ladder", *EXPERIMENTS),
    *("check_kernels", "measure_strategies", "measure_step", "measure_attention", "measure_compile"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a journey from the command line; the exit status of the first step that fails, or 0."""
    options = arguments().parse_args(argv)
    try:
        steps = travelled(journey(options.name, options.scale, options.text))
        lent = lacking(step.program for step in steps)
        how = replace(asked(options), folder=Path(options.runs) / "launch")
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    commands = [command(step, options) for step in steps]  # what a student release leaves out is lent to it
    commands = [
        ("shared.doors.lend", [name, *flags]) if name in lent else (name, flags) for name, flags in commands
    ]
    if options.dry_run:
        for step, (program, flags) in zip(steps, commands, strict=True):
            print(f"{step.purpose}: {shown(program, flags, step.ranks)}")
        return 0
    began = time.perf_counter()
    forks = how.kind == "local" and hasattr(os, "fork") and sys.platform == "linux"
    if forks:
        warm_up()
    for number, (step, (program, flags)) in enumerate(zip(steps, commands, strict=True), start=1):
        step_began = time.perf_counter()
        print(f"\n[{number}/{len(steps)}] {step.purpose}\n$ {shown(program, flags, step.ranks)}", flush=True)
        if forks and step.ranks == 1:
            status = run_in_fork(program, flags)
        else:
            status = run_launched(program, flags, launch_of(step, how))
        if status:
            print(f"\nstopped at step {number} ({step.purpose}); the same command goes on from here")
            return status
        print(f"({time.perf_counter() - step_began:.1f} s)", flush=True)
    print(f"\ndone in {time.perf_counter() - began:.0f} s")
    return 0


def travelled(steps: list[Step]) -> list[Step]:
    """The steps that can be made here: those that show the reference need it."""
    if not is_release(WORKSPACE):
        return steps
    left_out = [step.purpose for step in steps if step.shows_reference]
    if left_out:
        print(f"left out, as a student release holds no solutions: {', '.join(left_out)}")
    return [step for step in steps if not step.shows_reference]


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.journey",
        description=(__doc__ or "").split("\n\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help=f"which journey: {', '.join(SIZES)}")
    parser.add_argument("--scale", default="toy", help=f"how large: {', '.join(SCALES)} (SCALE=)")
    parser.add_argument("--text", help="a UTF-8 file or folder to learn from instead of the stories (TEXT=)")
    parser.add_argument(
        "--impl", default="reference", help="whose code: reference, learner, a package, a path (IMPL=)"
    )
    parser.add_argument(
        "--launch", dest="kind", choices=KINDS, default="local", help="where the programs run (LAUNCH=)"
    )
    parser.add_argument("--store", default="artifacts", help="where artifacts lie")
    parser.add_argument("--runs", default="runs", help="where unfinished runs lie")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and do nothing")
    add_options(parser)
    return parser


def command(step: Step, options: argparse.Namespace) -> tuple[str, list[str]]:
    """The program and its flags, with the journey's own places and implementation."""
    flags = [*step.flags]
    if step.takes_impl and options.impl != "reference":
        flags += ["--impl", options.impl]
    if options.store != "artifacts":
        flags += ["--store", options.store]
    package, program = step.program.rsplit(".", 1)
    if options.runs != "runs" and package in ("a1_basics.run", "a2_systems.run") and program in RESUMED:
        flags += ["--runs", options.runs]
    return step.program, flags


def shown(program: str, flags: Sequence[str], ranks: int = 1) -> str:
    """The command as one would type it."""
    spread = f"shared.runs.launch --launch torchrun --ranks {ranks} " if ranks > 1 else ""
    return f"python -m {spread}{program} {shlex.join(flags)}".strip()


def launch_of(step: Step, how: Launch) -> Launch:
    """Where a step runs: several ranks need torchrun, and what computes on no GPU asks a cluster for none."""
    if step.ranks > 1:
        how = replace(how, kind="torchrun" if how.kind == "local" else how.kind, ranks=step.ranks)
    return how if step.program.rpartition(".")[2] in ON_GPU else replace(how, gpus=0)


def run_launched(program: str, flags: Sequence[str], how: Launch) -> int:
    """Run a program as its launch says, and wait; its exit status."""
    try:
        return launch([Command(program, tuple(flags))], how)[0]
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def warm_up() -> None:
    """Import what every program needs before the first fork; only import, for threads do not survive a fork."""
    for module in ("torch", "tyro", "numpy", "regex", "safetensors.torch"):
        importlib.import_module(module)


def run_in_fork(program: str, flags: list[str]) -> int:
    """Run `python -m program flags` in a fork of this process; its exit status."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os._exit(_run_here(program, flags))
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except (
            KeyboardInterrupt
        ):  # the terminal sent it to the child as well, which saves its state and leaves
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_here(program: str, flags: list[str]) -> int:
    sys.argv = [program, *flags]
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())
