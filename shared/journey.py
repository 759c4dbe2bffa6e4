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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shared.doors.load import lacking
from shared.errors import ConfigError, WorkspaceError
from shared.runs.config import did_you_mean
from shared.runs.launch import INTERRUPTED, KINDS, Command, Launch, add_options, asked, launch

SCALES = ("tiny", "toy", "one_gpu", "cluster")


@dataclass(frozen=True)
class Step:
    """One program, its flags, and what it is for in a word or two."""

    purpose: str
    program: str
    flags: tuple[str, ...] = ()
    takes_impl: bool = True


@dataclass(frozen=True)
class Scale:
    """The sizes of one scale; everything else is the programs' own presets."""

    megabytes: float  # of stories
    vocab_size: int
    train_preset: str
    evaluate_preset: str
    generate_preset: str
    study_vocab_size: int = (
        512  # small models spend most of a large vocabulary's time on its output projection
    )


SIZES = {
    "toy": {
        "tiny": Scale(0.4, 512, "tiny", "tiny", "tiny"),
        "toy": Scale(9, 2048, "toy", "toy", "toy"),
    },
    "a1": {
        "tiny": Scale(0.4, 512, "tiny", "tiny", "tiny"),
        "toy": Scale(24, 2048, "a1", "toy", "toy"),
        "one_gpu": Scale(1000, 8192, "one_gpu", "toy", "toy"),
    },
    "a2": {
        "tiny": Scale(0.4, 512, "tiny", "tiny", "tiny"),
        "toy": Scale(9, 2048, "toy", "toy", "toy"),
    },
    "a1-study": {
        "tiny": Scale(0.4, 512, "tiny", "tiny", "tiny"),
        "toy": Scale(9, 2048, "toy", "toy", "toy"),
        "one_gpu": Scale(1000, 8192, "one_gpu", "toy", "toy", study_vocab_size=8192),
    },
}
EXPERIMENTS = ("learning_rate", "batch_size", "ablations", "divergence", "scaling_audit")
RESUMED = (
    "encode",
    "train_lm",
    "train_parallel",
    "ladder",
    *EXPERIMENTS,
)  # they keep unfinished work under `runs`
# They compute on a GPU, when jobs ask for any.
ON_GPU = ("train_lm", "train_parallel", "evaluate_lm", "generate", "attention_probe", "ladder", *EXPERIMENTS)
LIBRARY = "python_library"  # the Corpus of Python's standard library, the same at every scale
PLAYS = "tinyshakespeare"  # what the ladder reads: figures of it are known from elsewhere
LAUNCHER = (
    "shared.runs.launch"  # of programs on several ranks: flags after the program's name are the program's
)
FOR_THE_REFERENCE = ("a1_basics.run.tokenizer_sweep",)  # rules for cutting text cross no door


def stage_one(size: Scale, name: str, text: str | None) -> list[Step]:
    """From a corpus to a report on the model that was trained on it."""
    told = f"--kind stories --megabytes {size.megabytes}".split()
    vocab_size = size.vocab_size
    return [
        step(
            "a corpus",
            "shared.corpora.make",
            f"--name {name}",
            *(["--kind", "text", "--path", text] if text else told),
        ),
        step(
            "a tokenizer",
            "a1_basics.run.train_tokenizer",
            f"--corpus {name} --vocab-size {vocab_size} --name {name}",
        ),
        step("token ids", "a1_basics.run.encode", f"--corpus {name} --tokenizer {name} --name {name}"),
        step(
            "a language model",
            "a1_basics.run.train_lm",
            f"--preset {size.train_preset} --shards {name} --model.vocab-size {vocab_size} --name {name}",
        ),
        step(
            "how good it is",
            "a1_basics.run.evaluate_lm",
            f"--preset {size.evaluate_preset} --checkpoint {name} --name {name}",
        ),
        step(
            "what it writes",
            "a1_basics.run.generate",
            f"--preset {size.generate_preset} --checkpoint {name} --name {name}",
        ),
        step("a report page", "shared.report.make", f"--checkpoint {name} --name {name}"),
    ]


def stage_two(size: Scale, name: str, text: str | None, scale: str) -> list[Step]:
    """The same training on one rank and, spread in two ways, on two; on the token ids of `make toy`."""
    base = journey_name("toy", scale, text)
    # float32: in bfloat16 the order of sums would show, where only a mistake should
    settings = f"--preset {size.train_preset} --shards {base} --model.vocab-size {size.vocab_size} --precision float32"
    program = "a2_systems.run.train_parallel"
    names = [f"{name}-one-rank", f"{name}-data-parallel", f"{name}-fsdp"]
    two_ranks = f"--launch torchrun --ranks 2 {program} {settings}"
    return [
        *stage_one(size, base, text)[:3],
        step("on one rank", program, f"{settings} --strategy single --name {names[0]}"),
        step("on two, gradients averaged", LAUNCHER, f"{two_ranks} --strategy bucketed --name {names[1]}"),
        step("on two, everything shared out", LAUNCHER, f"{two_ranks} --strategy fsdp --name {names[2]}"),
        step(
            "the same training?",
            "a2_systems.run.compare_training",
            f"--logs {' '.join(names)} --name {name}",
        ),
    ]


def stage_one_study(size: Scale, name: str, text: str | None, scale: str) -> list[Step]:
    """The experiments, on the corpus of `make toy` and beside its model: what that made before is found and kept.

    The ladder and the tokenizers read a text that people wrote: the plays, unless there is a text of one's own.
    """
    base = journey_name("toy", scale, text)
    own_vocab = f"--corpus {base} --vocab-size {size.study_vocab_size} --name {name}"
    page = f"{name}-attention"
    characters, ladder, sweep = f"{name}-characters", f"{name}-ladder", f"{name}-tokenizers"
    plays = base if text is not None or scale == "tiny" else PLAYS
    own_characters = f"--corpus {plays} --tokenizer {characters} --name {characters}"
    full = f"{name}-shakespeare_char"
    full_ladder = [
        step(
            "its top rung at full size",
            "a1_basics.run.ladder",
            f"--preset shakespeare_char --shards {characters} --name {full}",
        ),
        step("its page", "shared.report.ladder", f"--ladder {full} --name {full}"),
    ]
    return [
        *stage_one(size, base, text)[:4],
        step("what its heads look at", "a1_basics.run.attention_probe", f"--checkpoint {base} --name {page}"),
        step("a small vocabulary", "a1_basics.run.train_tokenizer", own_vocab),
        step("token ids", "a1_basics.run.encode", f"--corpus {base} --tokenizer {name} --name {name}"),
        *(
            step(
                f"experiment: {experiment.replace('_', ' ')}",
                f"a1_basics.run.{experiment}",
                f"--preset {scale} --shards {name} --model.vocab-size {size.study_vocab_size} "
                f"--name {name}-{experiment}",
            )
            for experiment in EXPERIMENTS
        ),
        step(
            "a report page",
            "shared.report.experiments",
            f"--runs {' '.join(f'{name}-{each}' for each in EXPERIMENTS)} --attention {page} --name {name}",
        ),
        *(
            [step("the plays", "shared.corpora.fetch", f"--dataset {PLAYS} --stand-in")]
            if plays == PLAYS
            else []
        ),
        step("real text: code and prose", "shared.corpora.make", f"--preset python_library --name {LIBRARY}"),
        step(
            "vocabulary sizes and rules",
            "a1_basics.run.tokenizer_sweep",
            f"--preset {scale} --corpora {plays} {LIBRARY} --name {sweep}",
        ),
        step("the tokenizers' page", "shared.report.tokenizers", f"--sweep {sweep} --name {sweep}"),
        step(
            "a character each",
            "a1_basics.run.train_tokenizer",
            f"--kind chars --corpus {plays} --name {characters}",
        ),
        step("token ids", "a1_basics.run.encode", own_characters),
        step(
            "the ladder: bigram to transformer",
            "a1_basics.run.ladder",
            f"--preset {scale} --shards {characters} --name {ladder}",
        ),
        step("the ladder's page", "shared.report.ladder", f"--ladder {ladder} --name {ladder}"),
        *(full_ladder if scale == "toy" else []),
    ]


def step(purpose: str, program: str, words: str, *more: str) -> Step:
    """A step whose flags are written as on a command line; `more` may hold spaces."""
    return Step(
        purpose,
        program,
        (*words.split(), *more),
        takes_impl=program not in FOR_THE_REFERENCE
        and (
            program.startswith(("a1_basics", "a2_systems.run.train"))
            or program in ("shared.report.make", LAUNCHER)
        ),
    )


def journey(name: str, scale: str, text: str | None) -> list[Step]:
    """The steps of a journey.

    Raises:
        ConfigError: no such journey or scale, or text that is not there.
    """
    if name not in SIZES:
        raise ConfigError(
            f"there is no journey {name!r}{did_you_mean(name, SIZES)} Known: {', '.join(SIZES)}"
        )
    if scale not in SIZES[name]:
        known = ", ".join(SIZES[name])
        raise ConfigError(
            f"journey {name!r} has no SCALE={scale}{did_you_mean(scale, SIZES[name])} It has: {known}"
        )
    if text is not None and not Path(text).exists():
        raise ConfigError(f"TEXT={text}: there is no such file or folder")
    run_name = journey_name(name, scale, text)
    if name == "a2":
        return stage_two(SIZES[name][scale], run_name, text, scale)
    if name == "a1-study":
        return stage_one_study(SIZES[name][scale], run_name, text, scale)
    return stage_one(SIZES[name][scale], run_name, text)


def journey_name(name: str, scale: str, text: str | None) -> str:
    """What a journey's artifacts are called."""
    run_name = name if scale == "toy" else f"{name}-{scale}"
    return run_name if text is None else f"{run_name}-text"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a journey from the command line; the exit status of the first step that fails, or 0."""
    options = arguments().parse_args(argv)
    try:
        steps = journey(options.name, options.scale, options.text)
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
            print(f"{step.purpose}: {shown(program, flags)}")
        return 0
    began = time.perf_counter()
    run_step = runner_of(how)
    warm_up(run_step)
    for number, (step, (program, flags)) in enumerate(zip(steps, commands, strict=True), start=1):
        step_began = time.perf_counter()
        print(f"\n[{number}/{len(steps)}] {step.purpose}\n$ {shown(program, flags)}", flush=True)
        status = run_step(program, flags)
        if status:
            print(f"\nstopped at step {number} ({step.purpose}); the same command goes on from here")
            return status
        print(f"({time.perf_counter() - step_began:.1f} s)", flush=True)
    print(f"\ndone in {time.perf_counter() - began:.0f} s")
    return 0


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
    started = next((word for word in step.flags if word.startswith("a2_systems.")), step.program)
    package, program = started.rsplit(".", 1)
    if options.runs != "runs" and package in ("a1_basics.run", "a2_systems.run") and program in RESUMED:
        flags += ["--runs", options.runs]
    return step.program, flags


def shown(program: str, flags: Sequence[str]) -> str:
    """The command as one would type it."""
    return f"python -m {program} {shlex.join(flags)}".strip()


def runner_of(how: Launch) -> Callable[[str, list[str]], int]:
    """How each step runs: in a fork of this process where that is safe, or launched over ranks or on a cluster."""
    if how.kind == "local":
        return run_in_fork if hasattr(os, "fork") and sys.platform == "linux" else run_in_subprocess

    def run_launched(program: str, flags: list[str]) -> int:
        is_for_gpu = program.rpartition(".")[2] in ON_GPU
        try:
            return launch([Command(program, tuple(flags))], how if is_for_gpu else replace(how, gpus=0))[0]
        except WorkspaceError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            return INTERRUPTED

    return run_launched


def warm_up(run_step: Callable[[str, list[str]], int]) -> None:
    """Import what every program needs before the first fork; only import, for threads do not survive a fork."""
    if run_step is run_in_fork:
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


def run_in_subprocess(program: str, flags: list[str]) -> int:
    """Where processes cannot be forked safely: a new interpreter for each program."""
    import subprocess

    return subprocess.run([sys.executable, "-m", program, *flags], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
