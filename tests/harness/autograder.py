"""Build the zip that Gradescope takes as an autograder: the student tree, set up once, grading what is uploaded.

    python -m tests.harness.autograder --stage a1_basics --out autograder.zip

It holds no reference, mutants or alternatives. Students upload `adapters.py` and modules of their own, or their whole
`learner/` folder. A results file is there from the first second: whatever happens, Gradescope finds a verdict or an
error, never nothing.
"""

import json
import tempfile
import zipfile
from pathlib import Path

from rich.console import Console

from shared.doors.release import build
from shared.errors import ConfigError
from tests.harness import commands, files

SETUP = """#!/usr/bin/env bash
# Run once by Gradescope when the image is built.
set -euo pipefail
cd "${AUTOGRADER_ROOT:-/autograder}/source"
if ! command -v python3 >/dev/null; then
    apt-get update
    apt-get install -y python3 python3-venv
fi
make -C workspace setup
"""

RUN = """#!/usr/bin/env bash
# Run for each submission. The first lines leave a results file, so that a crash of anything below is an error there
# and never silence; the grader replaces it by the verdict. Learner code never runs in the process that writes it.
ROOT="${AUTOGRADER_ROOT:-/autograder}"
mkdir -p "$ROOT/results"
cp "$ROOT/source/no_verdict.json" "$ROOT/results/results.json"
cd "$ROOT/source/workspace" || exit 0
PYTHON="${AUTOGRADER_PYTHON:-.venv/bin/python}"
"$PYTHON" -m tests.harness.autograder --grade --stage "@STAGE@" \\
    --submission "$ROOT/submission" --results "$ROOT/results/results.json"
exit 0
"""


def main(argv: list[str] | None = None) -> int:
    """Build the zip, or inside it: grade one submission. Raises: WorkspaceError."""
    arguments = commands.parser("autograder", __doc__ or "", problem="no")
    arguments.add_argument(
        "--out", type=Path, help="the zip to write (OUT=, default: build/autograder-<stage>.zip)"
    )
    arguments.add_argument("--grade", action="store_true", help="used inside the zip: grade one submission")
    arguments.add_argument("--submission", type=Path, help="used inside the zip")
    arguments.add_argument("--results", type=Path, help="used inside the zip")
    chosen = commands.parse(arguments, argv)
    if chosen.grade:
        return grade_one(chosen)
    workspace = chosen.workspace
    out = chosen.out or workspace.root / "build" / f"autograder-{chosen.stage}.zip"
    workspace.exercises(chosen.stage)
    if out.suffix != ".zip":
        out = out / f"autograder-{chosen.stage}.zip"
    if out.exists() and out.is_dir():
        raise ConfigError(f"OUT={out} is a folder; name a zip file")
    write_zip(workspace.root, chosen.stage, out)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"wrote {out} ({out.stat().st_size / 2**20:.1f} MiB)")
    console.print(
        "upload it under Configure Autograder; students upload adapters.py with its modules, or learner/"
    )
    return 0


def write_zip(root: Path, stage: str, out: Path) -> None:
    """Build the student tree and pack it with the two scripts."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="autograder-") as folder:
        tree = Path(folder) / "workspace"
        build(root, tree)
        draft = out.with_name(f".{out.name}.draft")
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, text in (("setup.sh", SETUP), ("run_autograder", RUN.replace("@STAGE@", stage))):
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16
                zipped.writestr(entry, text)
            silent = files.broken_gradescope("it stopped before it could write one")
            zipped.writestr("no_verdict.json", json.dumps(silent, indent=1))
            for path in sorted(tree.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    zipped.write(path, Path("workspace") / path.relative_to(tree))
        draft.replace(out)


def grade_one(chosen: commands.argparse.Namespace) -> int:
    """Grade what was uploaded and write the results file, whatever comes of it."""
    from tests.harness.grade_all import grade_submission, inner_folder

    try:
        if chosen.submission is None or chosen.results is None:
            raise ConfigError("--grade needs --submission and --results")
        grade = grade_submission(chosen.workspace, chosen.stage, inner_folder(chosen.submission), None)
        results = files.gradescope(grade)
    except Exception as error:  # every way to fail must leave a results file that says so
        results = files.broken_gradescope(f"{type(error).__name__}: {error}")
    if chosen.results is not None:
        files.write_text(chosen.results, json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    commands.run(main)
