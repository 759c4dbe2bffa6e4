"""Verdicts on a terminal: one line per problem, then the first failure explained, then what to do next."""

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shared.doors.exercise import Exercise
from shared.doors.paper import ANSWERS, WRITEUP
from tests.harness.outcomes import BAD, Lesson, Outcome, ProblemGrade, StageGrade

STYLE = {
    Outcome.PASSED: ("green", "✓"),
    Outcome.FAILED: ("red", "✗"),
    Outcome.NOT_STARTED: ("bright_black", "·"),
    Outcome.BORROWED: ("yellow", "↪"),
    Outcome.FORBIDDEN: ("magenta", "⊘"),
    Outcome.NOT_CHECKED: ("cyan", "?"),
    Outcome.ERROR: ("bold red", "!"),
}


def number(value: float) -> str:
    """2.0 -> 2, 2.5 -> 2.5."""
    return f"{value:g}"


def show(console: Console, grade: StageGrade, exercises: tuple[Exercise, ...], said: list[str]) -> None:
    """Print a stage's verdict."""
    console.print()
    console.print(_table(grade))
    first = next((p for p in grade.problems if p.outcome in BAD), None)
    if first is not None:
        console.print(explanation(first, grade.impl, grade.stage))
    for line in said:
        console.print(f"[green]{escape(line)}[/]")
    console.print(summary(grade))
    for line in next_steps(grade, exercises):
        console.print(f"[bright_black]next:[/] {escape(line)}")


def _table(grade: StageGrade) -> Group:
    """One line per problem; a message too long for its line goes below it."""
    names = max((len(problem.id) for problem in grade.problems), default=0)
    lines: list[RenderableType] = [
        Text.assemble((grade.stage, "bold"), (f"   IMPL={grade.impl}", "bright_black"))
    ]
    for problem in grade.problems:
        colour, mark = STYLE[problem.outcome]
        points = f"{number(problem.earned)}/{number(problem.points)}"
        quiet = problem.outcome is Outcome.NOT_STARTED
        line = Text.assemble(
            (f"{mark} ", colour),
            (f"{problem.id:<{names}}  ", "bright_black" if quiet else "bold"),
            (f"{problem.outcome:<11}  ", colour),
            f"{points:>5}",
        )
        is_short = len(problem.message) + names <= 46
        if is_short and not quiet:
            line.append(f"   {problem.message}", style="bright_black")
        lines.append(line)
        if not is_short and not quiet:
            lines.append(Padding(Text(problem.message, style="bright_black"), (0, 0, 0, 4)))
    return Group(*lines)


def lesson_parts(lesson: Lesson) -> list[tuple[str, str]]:
    """(heading, text) for the parts that a lesson has."""
    rows = [
        ("checked", lesson.what),
        ("case", lesson.case),
        ("counter-example", lesson.counterexample),
        ("in your code", lesson.place),
        ("why it matters", lesson.why),
    ]
    return [(heading, text) for heading, text in rows if text]


def explanation(problem: ProblemGrade, impl: str, stage: str) -> RenderableType:
    """The first failure of a problem, laid out."""
    body: list[RenderableType] = []
    if problem.failure is not None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="bright_black", no_wrap=True)
        grid.add_column(overflow="fold")
        rows = lesson_parts(problem.failure)
        if not problem.failure.why and problem.why:
            rows.append(("why it matters", problem.why))
        for heading, text in rows:
            style = {"counter-example": "bold", "in your code": "cyan"}.get(heading, "")
            grid.add_row(heading, Text(text, style=style))
        printed = next((t.output for t in problem.tests if t.id == problem.failure.test), "")
        if printed:
            grid.add_row("you printed", Text("\n".join(printed.splitlines()[-8:]), style="bright_black"))
        body.append(grid)
    else:
        body.append(Text(problem.message))
    if problem.failure is not None and problem.failure.test:
        name = problem.failure.test
        line = f"\nits test: {name}"
        body.append(Text(line, style="bright_black"))
    hint = hint_line(problem, stage) if impl == "learner" else ""
    if hint:
        body.append(Text(hint, style="yellow"))
    colour, mark = STYLE[problem.outcome]
    title = f"[{colour}]{mark}[/] [bold]{problem.id}[/]"  # the message stands in the row above
    return Panel(
        Group(*body), title=title, title_align="left", border_style=colour.split()[-1], padding=(1, 2)
    )


def hint_line(problem: ProblemGrade, stage: str) -> str:
    """How many hints there are to read, and the command; empty when the problem has none."""
    if not problem.hints:
        return ""
    at_hand = min(problem.hints, max(1, problem.hints_unlocked))
    return f"{at_hand} of {problem.hints} hints unlocked: make hint STAGE={stage} PROBLEM={problem.id}"


def summary(grade: StageGrade) -> Text:
    """Points and a count of each outcome, in one line."""
    text = Text(f"\n{number(grade.earned)} of {number(grade.points)} points", style="bold")
    for outcome, (colour, _) in STYLE.items():
        count = sum(problem.outcome is outcome for problem in grade.problems)
        if count:
            text.append("  ·  ", style="bright_black")
            text.append(f"{count} {outcome}", style=colour)
    text.append(f"  ·  {grade.seconds:.1f} s", style="bright_black")
    return text


def next_steps(grade: StageGrade, exercises: tuple[Exercise, ...]) -> list[str]:
    """What to do now: mend the first bad problem, or begin the first one whose prerequisites are there."""
    if grade.impl != "learner":
        return []
    outcomes = {problem.id: problem.outcome for problem in grade.problems}
    for exercise in exercises:
        target = f"STAGE={grade.stage} PROBLEM={exercise.id}"
        if outcomes.get(exercise.id) in BAD:
            return [f"mend {exercise.id}; `make watch {target}` grades it again at every save"]
    there = (Outcome.PASSED, Outcome.BORROWED, None)
    for exercise in exercises:
        ready = all(outcomes.get(wanted) in there for wanted in exercise.prerequisites)
        if outcomes.get(exercise.id) is Outcome.NOT_STARTED and ready:
            if exercise.kind != "code":
                name = ANSWERS if exercise.kind == "numeric" else WRITEUP
                return [f"answer {exercise.id} in learner/{grade.stage}/{name}"]
            place = f"learner/{grade.stage}/adapters.py"
            target = f"STAGE={grade.stage} PROBLEM={exercise.id}"
            return [f"write {', '.join(exercise.door)} in {place}, then: make grade {target}"]
    done = (Outcome.PASSED, Outcome.NOT_CHECKED)
    if all(outcome in done for outcome in outcomes.values()) and len(outcomes) == len(exercises):
        return [f"{grade.stage} is complete: run the rest of the workspace on your code with IMPL=learner"]
    return []
