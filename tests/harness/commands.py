"""What all commands of the grader share: arguments, errors without tracebacks, and whose work is looked at."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from shared.doors import grades as ledger
from shared.doors.grades import HANDED_IN
from shared.errors import ConfigError, WorkspaceError
from tests.harness.outcomes import Outcome, ProblemGrade, StageGrade
from tests.harness.workspace import Workspace


def parser(command: str, description: str, *, problem: str = "optional") -> argparse.ArgumentParser:
    """The arguments every command takes; `problem` is "optional", "required" or "no"."""
    out = argparse.ArgumentParser(prog=f"python -m tests.harness.{command}", description=description)
    out.add_argument("--stage", default="a1_basics", help="the stage (STAGE=)")
    out.add_argument(
        "--impl", default="learner", help="learner, reference, a dotted package, or a path (IMPL=)"
    )
    if problem != "no":
        out.add_argument(
            "--problem",
            required=problem == "required",
            help="one problem's id (PROBLEM=); default: all of the stage",
        )
    out.add_argument("--reference", help="a full checkout to borrow from, in a student release (REFERENCE=)")
    out.add_argument("--root", type=Path, default=Workspace().root, help=argparse.SUPPRESS)
    return out


def parse(arguments: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The parsed arguments; REFERENCE= goes into the environment, where the doors look for it."""
    chosen = arguments.parse_args(argv)
    if getattr(chosen, "reference", None):
        os.environ["REFERENCE"] = chosen.reference
    chosen.workspace = Workspace(chosen.root.resolve())
    return chosen


def required_problem(chosen: argparse.Namespace) -> str:
    """The problem asked for. Raises: ConfigError: none was."""
    if not chosen.problem:
        listed = ", ".join(e.id for e in chosen.workspace.exercises(chosen.stage))
        raise ConfigError(f"which problem? PROBLEM= takes one of: {listed}")
    return chosen.problem


def run(main: Callable[[], int]) -> None:
    """Run a command and exit: a user's mistake is one line and a status, not a traceback."""
    try:
        sys.exit(main())
    except WorkspaceError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)


def remember(workspace: Workspace, grade: StageGrade) -> tuple[StageGrade, list[str]]:
    """Save a learner's results, unlock hints after failures, end borrowings that a pass made needless.

    Returns the verdict with its hints counted anew, and what should be said aloud.
    """
    learner, said = workspace.learner, []
    before = ledger.results(learner, grade.stage)
    borrowed = ledger.borrowed_problems(learner, grade.stage)
    digests = {k.removeprefix("learner/"): v for k, v in grade.sources.items()}
    rows = {}

    def what_decides(problem: ProblemGrade) -> dict[str, str]:
        return digests if problem.kind == "code" else {HANDED_IN: problem.handed_in}

    for problem in grade.problems:
        rows[problem.id] = {
            "outcome": str(problem.outcome),
            "points": problem.points,
            "earned": problem.earned,
            "door": list(problem.door),
            "sources": what_decides(problem),
            "graded_at": grade.graded_at,
        }
        if problem.outcome is Outcome.PASSED and problem.id in borrowed:
            ledger.give_back(learner, grade.stage, problem.id)
            said.append(f"{problem.id} is yours now: it is borrowed no longer")
        is_new = before.get(problem.id, {}).get("sources") != what_decides(problem)
        unlocked = ledger.hints_seen(learner, grade.stage).get(problem.id, 0)
        if problem.outcome is Outcome.FAILED and is_new and unlocked + 1 < problem.hints:
            ledger.save_hints_seen(learner, grade.stage, problem.id, unlocked + 1)
    ledger.save_results(learner, grade.stage, rows)
    seen = ledger.hints_seen(learner, grade.stage)
    problems = tuple(replace(p, hints_unlocked=min(p.hints, 1 + seen.get(p.id, 0))) for p in grade.problems)
    return replace(grade, problems=problems), said
