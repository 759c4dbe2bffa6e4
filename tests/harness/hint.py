"""Hints for a problem, one rung at a time: the first is free, each failed attempt unlocks the next."""

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from shared.doors import grades as ledger
from tests.harness import commands


def main(argv: list[str] | None = None) -> int:
    """Print the rungs unlocked so far. Raises: WorkspaceError."""
    arguments = commands.parser("hint", __doc__ or "")
    arguments.add_argument(
        "--more", action="store_true", help='unlock one more now (make hint ARGS="--more")'
    )
    chosen = commands.parse(arguments, argv)
    workspace, console = chosen.workspace, Console(highlight=False)
    problem = commands.required_problem(chosen)
    (exercise,) = workspace.chosen(chosen.stage, problem)
    if not exercise.hints:
        console.print(f"{exercise.id} has no hints; its story is in {chosen.stage}/HANDOUT.md")
        return 0
    earned = ledger.hints_seen(workspace.learner, chosen.stage).get(exercise.id, 0)
    if chosen.more and earned + 1 < len(exercise.hints):
        earned += 1
        ledger.save_hints_seen(workspace.learner, chosen.stage, exercise.id, earned)
    unlocked = min(len(exercise.hints), earned + 1)
    for rung, text in enumerate(exercise.hints[:unlocked], 1):
        title = f"{exercise.id}: hint {rung} of {len(exercise.hints)}"
        console.print(
            Panel(escape(text), title=title, title_align="left", border_style="yellow", padding=(0, 2))
        )
    if unlocked < len(exercise.hints):
        console.print(
            "the next hint unlocks with your next failed attempt; to have it now: "
            f'make hint STAGE={chosen.stage} PROBLEM={exercise.id} ARGS="--more"'
        )
    return 0


if __name__ == "__main__":
    commands.run(main)
