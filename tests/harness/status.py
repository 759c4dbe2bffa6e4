"""Where the learner stands: stages, points, artifacts and the next step. Reads saved results; runs nothing."""

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.doors import grades as ledger
from tests.harness import commands
from tests.harness.outcomes import Outcome
from tests.harness.terminal import STYLE, number
from tests.harness.workspace import Workspace


def main(argv: list[str] | None = None) -> int:
    """Print the tables. Raises: WorkspaceError."""
    chosen = commands.parse(commands.parser("status", __doc__ or "", problem="no"), argv)
    workspace, console = chosen.workspace, Console(highlight=False)
    for stage in workspace.stages():
        console.print(Group(*stage_rows(workspace, stage)))
    console.print(_artifacts(workspace))
    console.print(f"[bright_black]next:[/] {next_step(workspace)}")
    return 0


def stage_rows(workspace: Workspace, stage: str) -> list[RenderableType]:
    """One stage's problems as they were last graded."""
    results = ledger.results(workspace.learner, stage)
    changed = ledger.changed_functions(workspace.learner, stage)
    borrowed = ledger.borrowed_problems(workspace.learner, stage)
    exercises = workspace.exercises(stage)
    earned = sum(results.get(e.id, {}).get("earned", 0.0) for e in exercises)
    total = sum(e.points for e in exercises)
    table = Table.grid(padding=(0, 2, 0, 0))
    done = round(20 * earned / total) if total else 0
    title = Text.assemble(
        (f"\n{stage}  ", "bold"),
        ("━" * done, "green"),
        ("━" * (20 - done), "bright_black"),
        f"  {number(earned)} of {number(total)} points",
    )
    for _ in range(4):
        table.add_column()
    for exercise in exercises:
        result = results.get(exercise.id, {})
        outcome = Outcome(result.get("outcome", "not started"))
        if exercise.id in borrowed:
            outcome = Outcome.BORROWED
        colour, mark = STYLE[outcome]
        note = "changed since: grade again" if changed.intersection(exercise.door) else ""
        points = f"{number(result.get('earned', 0.0))}/{number(exercise.points)}"
        words = Text(str(outcome), style=colour)
        table.add_row(Text(mark, style=colour), exercise.id, words, f"{points}  [yellow]{note}[/]")
    return [title, table]


def _artifacts(workspace: Workspace) -> Text:
    """How many named artifacts of each kind there are; names are the pointer files of the store."""
    names = workspace.root / "artifacts" / "names"
    counts = {d.name: len(list(d.glob("*.json"))) for d in sorted(names.iterdir())} if names.is_dir() else {}
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return Text(f"\nartifacts: {shown or 'none yet (make toy makes the first)'}", style="bright_black")


def next_step(workspace: Workspace) -> str:
    """The one command that makes most sense now."""
    for stage in workspace.stages():
        if not (workspace.learner / stage / "adapters.py").is_file():
            return f"make learn STAGE={stage}"
        results = ledger.results(workspace.learner, stage)
        if not results or ledger.changed_functions(workspace.learner, stage):
            return f"make grade STAGE={stage}"
        ready = {p for p, r in results.items() if r["outcome"] == "passed"}
        ready |= ledger.borrowed_problems(workspace.learner, stage)
        for exercise in workspace.exercises(stage):
            if exercise.id not in ready and exercise.kind == "code" and set(exercise.prerequisites) <= ready:
                return f"make watch STAGE={stage} PROBLEM={exercise.id}"
    stages = workspace.stages()
    return f"make {stages[-1].split('_')[0]} IMPL=learner" if stages else "there is no stage here yet"


if __name__ == "__main__":
    commands.run(main)
