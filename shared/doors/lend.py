"""Run, in a student release, a program that it lacks, from the full checkout that REFERENCE names.

    REFERENCE=<a full checkout> python -m shared.doors.lend a1_basics.run.ladder --impl learner --shards toy

Experiments and benchmarks show the inside of the reference, so a release leaves them out. Lent, they run here: on this
tree's artifacts, through its doors, with what the learner wrote in place. What this tree has comes from this tree.
"""

import importlib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.doors.load import lacking, reference_root
from shared.errors import ConfigError, WorkspaceError


def lend(program: str, checkout: Path) -> None:
    """Run a program of another checkout as `__main__`; what its packages hold here goes before what they hold there."""
    package, name = "", program.rpartition(".")[0]
    for part in name.split("."):
        package = f"{package}.{part}".lstrip(".")
        path = importlib.import_module(package).__path__
        there = str(checkout.joinpath(*package.split(".")))
        if there not in path:
            path.append(there)
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named program with the flags that follow it."""
    words = sys.argv[1:] if argv is None else [*argv]
    if not words or words[0].startswith("-"):
        print(__doc__)
        return 0 if words[:1] in (["-h"], ["--help"]) else 2
    program, *flags = words
    try:
        if not lacking([program]):
            raise ConfigError(f"{program} is in this tree: python -m {program} runs it")
        checkout = reference_root()
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    sys.argv = [program, *flags]
    lend(program, checkout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
