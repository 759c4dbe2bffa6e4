"""`make check`: lint, format, types and the workspace's own laws, side by side, in seconds.

What cannot be looked at here (another operating system, another Python) is named `not checked`, and never
counted as passed.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.text import Text

from shared.console import Finding, print_finding
from shared.laws import STAGES, project_files, violations

ROOT = Path(__file__).resolve().parent.parent
HEAVY = (
    *("triton", "numba", "fastapi", "starlette", "uvicorn", "aiohttp"),
    *("transformers", "tokenizers", "datasets", "huggingface_hub", "sqlalchemy", "resiliparse", "fastwarc"),
    *("tensorboard", "wandb", "matplotlib"),
)
PYTHONS = ("3.11", "3.12", "3.13")
SHOWN_LINES = 40


def shortened(subject: str, lines: list[str], mend: str = "") -> Finding:
    """A failed finding that shows the first lines of what was found and counts the others."""
    hidden = len(lines) - SHOWN_LINES
    more = [f"… and {hidden} more"] if hidden > 0 else []
    return Finding("failed", subject, "\n".join(["", *lines[:SHOWN_LINES], *more]).strip("\n") + "\n", mend)


def check_ruff(subject: str, arguments: list[str], root: Path, mend: str) -> Finding:
    """Lint or format, as `pyproject.toml` configures them."""
    command = [sys.executable, "-m", "ruff", *arguments, "--output-format", "concise", "."]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    if result.returncode:
        return shortened(subject, said, mend)
    return Finding("ok", subject, said[-1] if said else "")


def check_types(root: Path) -> Finding:
    """The type checker over every stage, `shared` and the grader."""
    packages = [name for name in (*STAGES, "shared", "tests/harness") if (root / name).is_dir()]
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--outputjson", *packages]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    try:
        report = json.loads(result.stdout)
    except ValueError:
        return shortened("types", (result.stdout + result.stderr).splitlines())
    errors = [row for row in report["generalDiagnostics"] if row["severity"] == "error"]
    lines = [
        f"{Path(row['file']).relative_to(root)}:{row['range']['start']['line'] + 1} "
        f"{' '.join(row['message'].split())[:200]} ({row.get('rule', 'syntax')})"
        for row in errors
    ]
    if lines or result.returncode:
        return shortened("types", lines or result.stderr.splitlines())
    return Finding("ok", "types", f"{report['summary']['filesAnalyzed']} files")


def check_laws(root: Path) -> Finding:
    """Import laws, declared inputs and outputs, unsafe loads, machine paths and package indexes."""
    files = project_files(root)
    found = [str(violation) for violation in violations(root, files)]
    if found:
        return shortened("laws", found, "the laws and their reasons: shared/laws.py")
    return Finding("ok", "laws", f"{len(files)} files")


def heavy_modules(module: str, root: Path) -> list[str] | str:
    """Heavy packages that importing a module loads in a fresh process; or the error, when it fails."""
    program = (
        f"import sys, importlib; importlib.import_module({module!r}); "
        f"print(*sorted(set({HEAVY!r}) & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    if result.returncode:
        return (
            result.stderr.strip().splitlines()[-1] if result.stderr.strip() else f"exit {result.returncode}"
        )
    return result.stdout.split()


def check_door(stage: str, root: Path) -> Finding:
    """A door stays light: a first import waits for no compiler, web server or model library."""
    heavy = heavy_modules(f"{stage}.adapters", root)
    if isinstance(heavy, str):
        return Finding("failed", f"door {stage}", f"cannot be imported: {heavy}")
    if heavy:
        mend = "import them inside the function that needs them"
        return Finding("failed", f"door {stage}", f"importing it loads {', '.join(heavy)}", mend)
    return Finding("ok", f"door {stage}", "loads no heavy package")


def starts(python: str) -> bool:
    """Whether an interpreter of that name can be started here (a shim of a version manager may refuse)."""
    found = shutil.which(python)
    return bool(found) and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0


def check_python(version: str, root: Path) -> Finding:
    """Whether every source compiles under another Python that is at hand."""
    subject = f"Python {version}"
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Finding("ok", subject, "this one")
    program = (
        f"import sys; assert sys.version_info[:2] == ({version.replace('.', ', ')})\n"
        "for name in sys.stdin.read().split('\\0'):\n"
        "    compile(open(name, encoding='utf-8').read(), name, 'exec')"
    )
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    pythons = [f"python{version}", *(str(path) for path in pyenv.glob(f"{version}.*/bin/python3"))]
    python = next((name for name in pythons if starts(name)), None)
    if python is None:
        return Finding("not checked", subject, "not installed here")
    sources = [str(path) for path in project_files(root) if path.suffix == ".py"]
    command = [python, "-W", "error", "-c", program]
    result = subprocess.run(
        command, cwd=root, input="\0".join(sources), capture_output=True, text=True, check=False
    )
    if result.returncode:
        return Finding("failed", subject, result.stderr.strip().splitlines()[-1])
    return Finding("ok", subject, "every source compiles (the tests run under the Python of .venv)")


def other_platforms() -> list[Finding]:
    """The supported platforms that this machine is not."""
    is_wsl = "microsoft" in platform.release().lower()
    here = "macOS" if platform.system() == "Darwin" else "WSL2" if is_wsl else "Linux"
    absent = [name for name in ("Linux", "macOS", "WSL2") if name != here]
    return [Finding("not checked", name, f"this is {here}") for name in absent]


def steps(root: Path) -> list[Callable[[], Finding]]:
    """Everything `make check` looks at, slowest first so that they overlap."""
    stages = [stage for stage in STAGES if (root / stage / "adapters.py").exists()]
    return [
        lambda: check_types(root),
        *(lambda stage=stage: check_door(stage, root) for stage in stages),
        lambda: check_ruff("lint", ["check"], root, "make format mends what it can"),
        lambda: check_ruff("format", ["format", "--check"], root, "make format"),
        lambda: check_laws(root),
        *(lambda version=version: check_python(version, root) for version in PYTHONS),
    ]


def main(argv: list[str] | None = None) -> int:
    """Run every check and print a line each; the exit code is 1 when one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.check", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to look at (default: this one)")
    root = parser.parse_args(argv).root.resolve()
    console, started, num_failed = Console(highlight=False), time.monotonic(), 0
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        findings = [future.result() for future in [pool.submit(step) for step in steps(root)]]
    for finding in [*findings, *other_platforms()]:
        print_finding(finding, console)
        num_failed += finding.state == "failed"
    verdict = f"{num_failed} failed" if num_failed else "all checks that this machine can make passed"
    style = "bold red" if num_failed else "bold green"
    console.print(Text(f"\n{verdict}, {time.monotonic() - started:.1f} s", style=style))
    return 1 if num_failed else 0


if __name__ == "__main__":
    sys.exit(main())
