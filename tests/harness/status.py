"""Where the learner stands: stages, points, artifacts and the next step. Reads saved results; runs nothing."""

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from shared.doors import grades as ledger
from shared.doors.exercise import Exercise
from shared.doors.paper import ANSWERS, WRITEUP, Answers, handed_in, read_answers, read_writeup
from tests.harness import commands
from tests.harness.outcomes import Outcome
from tests.harness.terminal import STYLE, number
from tests.harness.workspace import Workspace

DONE_ON_PAPER = ("passed", "not checked")
"""Outcomes of a numeric or written problem after which it waits for nobody here: a person reads the texts."""


def main(argv: list[str] | None = None) -> int:
    """Print the tables. Raises: WorkspaceError."""
    chosen = commands.parse(commands.parser("status", __doc__ or "", problem="no"), argv)
    workspace, console = chosen.workspace, Console(highlight=False)
    for stage in workspace.stages():
        console.print(Group(*stage_rows(workspace, stage)))
    console.print(_artifacts(workspace))
    console.print(f"[bright_black]next:[/] {escape(next_step(workspace))}", soft_wrap=True)
    return 0


def stage_rows(workspace: Workspace, stage: str) -> list[RenderableType]:
    """One stage's problems as they were last graded."""
    results = ledger.results(workspace.learner, stage)
    stale = changed_since(workspace, stage)
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
        note = ""
        if exercise.id in stale:
            note = "changed since: grade again" if result else "written, not graded yet"
        points = f"{number(result.get('earned', 0.0))}/{number(exercise.points)}"
        words = Text(str(outcome), style=colour)
        table.add_row(Text(mark, style=colour), exercise.id, words, f"{points}  [yellow]{note}[/]")
    trouble = _paper(workspace, stage)[0].trouble
    return [title, table, *([Text(f"learner/{stage}: {trouble}", style="red")] if trouble else [])]


def changed_since(workspace: Workspace, stage: str) -> set[str]:
    """Problems whose last verdict is no longer of what is there: a pass of code, or any verdict on paper."""
    listed, results = workspace.exercises(stage), ledger.results(workspace.learner, stage)
    functions = ledger.changed_functions(workspace.learner, stage)
    answers, texts = _paper(workspace, stage)

    def is_stale(exercise: Exercise) -> bool:
        if exercise.kind == "code":
            return bool(functions.intersection(exercise.door))
        judged = results.get(exercise.id, {}).get("sources", {}).get(ledger.HANDED_IN, "")
        return handed_in(exercise.id, answers, texts) != judged

    return {exercise.id for exercise in listed if is_stale(exercise)}


def _paper(workspace: Workspace, stage: str) -> tuple[Answers, dict[str, str] | None]:
    """The learner's numbers and texts as they are now."""
    folder, listed = workspace.learner / stage, workspace.exercises(stage)
    answers, texts = (path if path.exists() else None for path in (folder / ANSWERS, folder / WRITEUP))
    return read_answers(answers, listed), read_writeup(texts, listed)


def _artifacts(workspace: Workspace) -> Text:
    """How many named artifacts of each kind there are; names are the pointer files of the store."""
    names = workspace.root / "artifacts" / "names"
    counts = {d.name: len(list(d.glob("*.json"))) for d in sorted(names.iterdir())} if names.is_dir() else {}
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return Text(f"\nartifacts: {shown or 'none yet (make toy makes the first)'}", style="bright_black")


def next_step(workspace: Workspace) -> str:
    """The one command that makes most sense now."""
    stages = workspace.stages()
    begun = [stage for stage in stages if (workspace.learner / stage / "adapters.py").is_file()]
    for stage in [*begun, *(stage for stage in stages if stage not in begun)]:
        if not (workspace.learner / stage / "adapters.py").is_file():
            return f"make learn STAGE={stage}"
        results = ledger.results(workspace.learner, stage)
        if changed_since(workspace, stage):
            return f"make grade STAGE={stage}"
        ready = {p for p, r in results.items() if r["outcome"] == "passed"}
        ready |= ledger.borrowed_problems(workspace.learner, stage)
        for exercise in workspace.exercises(stage):
            if exercise.id not in ready and exercise.kind == "code" and set(exercise.prerequisites) <= ready:
                return f"make watch STAGE={stage} PROBLEM={exercise.id}"
        for exercise in workspace.exercises(stage):
            if exercise.kind != "code" and results.get(exercise.id, {}).get("outcome") not in DONE_ON_PAPER:
                where = (
                    f"[{exercise.id}] in {ANSWERS}"
                    if exercise.questions
                    else f"## {exercise.id} in {WRITEUP}"
                )
                return f"answer {where} of learner/{stage}, then make grade STAGE={stage}"
    return f"make {stages[-1].split('_')[0]} IMPL=learner" if stages else "there is no stage here yet"


if __name__ == "__main__":
    commands.run(main)
