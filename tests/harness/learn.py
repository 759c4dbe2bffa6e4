"""Write the learner's stubs for a stage: new ones are added, nothing is ever overwritten."""

from rich.console import Console

from shared.doors.paper import ANSWERS, WRITEUP, write_answers, write_writeup
from shared.doors.scaffold import write_learner_folder, write_stubs
from shared.errors import ConfigError
from tests.harness import commands


def main(argv: list[str] | None = None) -> int:
    """Write, and say what was written and what to do next. Raises: WorkspaceError."""
    chosen = commands.parse(commands.parser("learn", __doc__ or "", problem="no"), argv)
    if chosen.impl != "learner":
        raise ConfigError(f"learn writes to learner/, not to IMPL={chosen.impl}; leave IMPL away")
    workspace, stage = chosen.workspace, chosen.stage
    console = Console(highlight=False, soft_wrap=True)
    exercises = workspace.exercises(stage)
    added = write_stubs(stage, workspace.learner, workspace.root)
    for path in write_learner_folder(workspace.learner):
        console.print(f"wrote learner/{path.name}")
    folder = workspace.learner / stage
    numbers = write_answers(folder / ANSWERS, stage, exercises)
    if numbers:
        console.print(f"wrote {len(numbers)} questions to [bold]learner/{stage}/{ANSWERS}[/]")
    texts = write_writeup(folder / WRITEUP, stage, exercises)
    if texts:
        console.print(f"wrote {len(texts)} sections to [bold]learner/{stage}/{WRITEUP}[/]")
    if added:
        console.print(f"wrote {len(added)} stubs to [bold]learner/{stage}/adapters.py[/]: {', '.join(added)}")
    else:
        console.print(f"learner/{stage}/adapters.py has every function already; nothing was changed")
    first = next((e for e in exercises if e.kind == "code"), None)
    if first is not None:
        console.print(
            f"\nread [bold]{stage}/HANDOUT.md[/], then begin with [bold]{first.id}[/] ({first.title})"
        )
        console.print(f"while you write: [bold]make watch STAGE={stage} PROBLEM={first.id}[/]")
    return 0


if __name__ == "__main__":
    commands.run(main)
