"""Grade again at every save, in a warm process: what is unfinished first, every verdict as soon as it is there."""

import time
from pathlib import Path

from rich.console import Console

from shared.doors.exercise import Exercise
from shared.doors.load import locate
from shared.doors.paper import ANSWERS, WRITEUP
from tests.harness import commands
from tests.harness.grading import Grader, own_files
from tests.harness.outcomes import Outcome, ProblemGrade
from tests.harness.terminal import STYLE, show

LOOK_EVERY_SECONDS = 0.2


def main(argv: list[str] | None = None) -> int:
    """Watch until Ctrl-C. Raises: WorkspaceError."""
    arguments = commands.parser("watch", __doc__ or "")
    arguments.add_argument(
        "--rounds", type=int, default=0, help="stop after so many gradings (default: never)"
    )
    chosen = commands.parse(arguments, argv)
    workspace, console = chosen.workspace, Console(highlight=False)
    source = locate(chosen.stage, chosen.impl, workspace.root)
    outcomes: dict[str, Outcome] = {}

    def unfinished_first(exercise: Exercise) -> bool:
        return outcomes.get(exercise.id) in (Outcome.PASSED, Outcome.NOT_STARTED)

    def tell(problem: ProblemGrade) -> None:
        outcomes[problem.id] = problem.outcome
        colour, mark = STYLE[problem.outcome]
        if problem.outcome is not Outcome.NOT_STARTED:
            console.print(
                f"[{colour}]{mark}[/] {problem.id}: {problem.outcome}  [bright_black]{problem.seconds:.1f} s[/]"
            )

    rounds, seen, before, status = 0, None, None, 0
    with Grader(workspace) as grader:
        while True:
            paper = [source.file.with_name(name) for name in (ANSWERS, WRITEUP)]
            exercises = workspace.root / chosen.stage / "exercises.py"
            state = _state([*own_files(source), *paper, exercises])
            # A save truncates and then writes: a file is graded once two looks in a row agree on it.
            is_settled = seen is None or state == before
            before = state
            if state == seen or not is_settled:
                time.sleep(LOOK_EVERY_SECONDS)
                continue
            seen = state
            if console.is_terminal:
                console.clear()
            grade = grader.grade(
                chosen.stage, chosen.impl, chosen.problem, on_problem=tell, order=unfinished_first
            )
            said: list[str] = []
            if chosen.impl == "learner":
                grade, said = commands.remember(workspace, grade)
            if console.is_terminal:
                console.clear()
            show(console, grade, workspace.exercises(chosen.stage), said)
            rounds, status = rounds + 1, grade.exit_code
            if chosen.rounds and rounds >= chosen.rounds:
                return status
            console.print("[bright_black]watching; save a file to grade again, Ctrl-C to stop[/]")


def _state(files: list[Path]) -> tuple[tuple[str, int, int], ...]:
    """What tells whether a file changed. A file that an editor is just replacing counts as gone."""
    rows = []
    for path in files:
        try:
            found = path.stat()
            rows.append((str(path), found.st_mtime_ns, found.st_size))
        except FileNotFoundError:
            rows.append((str(path), 0, 0))
    return tuple(rows)


if __name__ == "__main__":
    commands.run(main)
