"""Give one problem its stub back; a dated copy of your file is kept in learner/.backups/."""

from rich.console import Console

from shared.doors.scaffold import reset_problem
from shared.errors import ConfigError
from tests.harness import commands


def main(argv: list[str] | None = None) -> int:
    """Reset, and say where the copy is. Raises: WorkspaceError."""
    chosen = commands.parse(commands.parser("reset", __doc__ or ""), argv)
    if chosen.impl != "learner":
        raise ConfigError(f"reset works on learner/, not on IMPL={chosen.impl}; leave IMPL away")
    workspace, console = chosen.workspace, Console(highlight=False, soft_wrap=True)
    problem = commands.required_problem(chosen)
    (exercise,) = workspace.chosen(chosen.stage, problem)
    backup = reset_problem(chosen.stage, exercise, workspace.learner, workspace.root)
    console.print(f"{', '.join(exercise.door)}: the stub is back; modules of your own were not touched")
    console.print(f"your version: {backup.relative_to(workspace.root)}")
    return 0


if __name__ == "__main__":
    commands.run(main)
