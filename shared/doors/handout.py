"""The table of all problems in a stage's HANDOUT.md, written from exercises.py so that the two never disagree.

    python -m shared.doors.handout --stage a1_basics

rewrites the lines between the two marks of the file. A test fails when they are not what this would write.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from shared.doors.exercise import STAGES, Exercise, exercises
from shared.doors.load import WORKSPACE
from shared.errors import WorkspaceError
from shared.marked import replace_block

BEGIN = "<!-- problems: written by `python -m shared.doors.handout` from exercises.py -->"
END = "<!-- /problems -->"
READ_BY = {"code": "tests", "numeric": "numbers", "written": "a person"}


def table(listed: Iterable[Exercise]) -> str:
    """The table, one row per problem, and the sum of their points."""
    rows = [
        "| problem | points | deliverable | size and cost | figures | checked by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    total = 0.0
    for e in listed:
        deliverable = e.deliverable or ", ".join(f"`{name}`" for name in e.door)
        reader = READ_BY[e.kind] + (", numbers" if e.kind == "written" and e.questions else "")
        cells = [
            f"`{e.id}`",
            f"{e.points:g}",
            deliverable,
            e.budget or "no training",
            e.figures or "none",
            reader,
        ]
        rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        total += e.points
    return "\n".join([*rows, "", f"{total:g} points in all."])


def main(argv: list[str] | None = None) -> int:
    """Rewrite the table of one stage's handout."""
    parser = argparse.ArgumentParser(prog="python -m shared.doors.handout", description=__doc__)
    parser.add_argument("--stage", default=STAGES[0], help="the stage")
    parser.add_argument("--root", type=Path, default=WORKSPACE, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    path = chosen.root / chosen.stage / "HANDOUT.md"
    try:
        replace_block(path, BEGIN, END, table(exercises(chosen.stage, chosen.root)))
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote the table of {chosen.stage}/HANDOUT.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
