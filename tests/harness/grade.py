"""Grade a stage: per problem an outcome and points, and the first failure explained.

    python -m tests.harness.grade --stage a1_basics --impl learner [--problem rope] [--html page.html]

Exit status: 0 nothing is wrong (which does not mean complete), 1 something failed or is forbidden, 2 an error.
"""

from pathlib import Path

from rich.console import Console

from shared.errors import ContractError
from tests.harness import commands, files
from tests.harness.grading import Grader
from tests.harness.page import write_page
from tests.harness.terminal import show


def main(argv: list[str] | None = None) -> int:
    """Grade, print, save. Raises: WorkspaceError: no such stage, problem or implementation."""
    arguments = commands.parser("grade", __doc__ or "")
    for name, what in (
        ("json", "everything, as JSON"),
        ("junit", "JUnit XML"),
        ("html", "a page of its own"),
        ("gradescope", "Gradescope's results.json"),
    ):
        arguments.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"also write {what}")
    arguments.add_argument("--jobs", type=int, help="problems graded side by side (default: one per core)")
    arguments.add_argument(
        "--check-tests", action="store_true", help="also load the tests of unwritten problems"
    )
    chosen = commands.parse(arguments, argv)
    workspace, console = chosen.workspace, Console(highlight=False)
    exercises = workspace.exercises(chosen.stage)
    workspace.chosen(chosen.stage, chosen.problem)
    with Grader(workspace, **({"jobs": chosen.jobs} if chosen.jobs else {})) as grader:
        if chosen.check_tests:
            broken = {k: v for k, v in grader.expected(chosen.stage).items() if v.problem or not v.tests}
            if broken:
                raise ContractError("; ".join(v.problem or f"{k} has no tests" for k, v in broken.items()))
        if console.is_terminal:
            with console.status(f"grading {chosen.stage} ..."):
                grade = grader.grade(chosen.stage, chosen.impl, chosen.problem)
        else:
            grade = grader.grade(chosen.stage, chosen.impl, chosen.problem)
    said: list[str] = []
    if chosen.impl == "learner":
        grade, said = commands.remember(workspace, grade)
    show(console, grade, exercises, said)
    if chosen.json:
        files.write_json(chosen.json, grade)
    if chosen.junit:
        files.write_junit(chosen.junit, grade)
    if chosen.html:
        write_page(chosen.html, grade)
    if chosen.gradescope:
        files.write_text(chosen.gradescope, files.json.dumps(files.gradescope(grade), indent=1) + "\n")
    return grade.exit_code


if __name__ == "__main__":
    commands.run(main)
