"""Take a problem's solution from the reference, for no points, to carry on with the rest."""

from rich.console import Console

from shared.doors import grades as ledger
from shared.doors.load import is_release, reference_root
from shared.errors import ConfigError
from tests.harness import commands


def main(argv: list[str] | None = None) -> int:
    """Remember the borrowing and say it aloud. Raises: WorkspaceError: no such problem, or nothing to borrow from."""
    arguments = commands.parser("borrow", __doc__ or "")
    arguments.add_argument("--give-back", action="store_true", help="end the borrowing")
    chosen = commands.parse(arguments, argv)
    workspace, console = chosen.workspace, Console(highlight=False, soft_wrap=True)
    problem = commands.required_problem(chosen)
    (exercise,) = workspace.chosen(chosen.stage, problem)
    if chosen.give_back:
        was = ledger.give_back(workspace.learner, chosen.stage, exercise.id)
        console.print(
            f"{exercise.id} is {'borrowed no longer' if was else 'not borrowed: nothing to give back'}"
        )
        return 0
    if exercise.kind != "code":
        raise ConfigError(f"{exercise.id} is a {exercise.kind} answer: there is no code to borrow")
    reference = ""
    if is_release(workspace.root):
        reference = str(reference_root())
    elif not (workspace.root / chosen.stage / "adapters.py").is_file():
        raise ConfigError(f"there is no reference of {chosen.stage} here to borrow from")
    result = ledger.results(workspace.learner, chosen.stage).get(exercise.id, {})
    if result.get("outcome") == "passed":
        console.print(f"your own {exercise.id} passes: there is no need to borrow it")
        return 0
    ledger.save_borrowed(workspace.learner, chosen.stage, exercise.id, exercise.door, reference)
    functions = ", ".join(exercise.door)
    where = f" in {reference}" if reference else ""
    console.print(
        f"[yellow]↪ borrowed:[/] {exercise.id} ({functions}) comes from the reference{where} "
        f"and earns 0 of {exercise.points:g} points. It is yours as soon as your own version passes: "
        f"make grade STAGE={chosen.stage} PROBLEM={exercise.id}"
    )
    return 0


if __name__ == "__main__":
    commands.run(main)
