"""The student tree: everything a learner needs and no solution.

    python -m shared.doors.release --out DIR

It holds the handouts, exercises, door stubs in `aN_name/adapters.py`, configs, the programs that work through doors,
`shared`, the graded tests, their oracles and the grader. Reference, mutants and alternatives stay behind. Before it is
put in place it is scanned for leaked solutions, and graded: every problem must be `not started`.
"""

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.doors.exercise import STAGES, exercises
from shared.doors.load import RELEASE_MARK, WORKSPACE, is_release
from shared.doors.scaffold import Signatures, import_lines
from shared.doors.stubs import is_stub
from shared.errors import ConfigError, ContractError, WorkspaceError

TOP_FILES = (
    "Makefile",
    "pyproject.toml",
    "uv.lock",
    "LICENSE",
    "CITATION.cff",
    ".gitignore",
    ".python-version",
)
FRONT = ("HANDOUT.md", "exercises.py", "configs.py", "__init__.py")
"""A stage's files that are handed out as they are; its programs are, when they import no more than these."""
FRONT_FOLDERS = ("figures", "problems")
"""Folders of a stage that are handed out whole: the handout's pictures, and what `exercises.py` joins."""

README = """# Build a language model from scratch

This is your copy of the workspace: the problems, the grader and everything around them, without the solutions.

    make setup                                      once: the Python environment
    make learn STAGE={first}                      writes learner/{first}/adapters.py, a stub for each problem
    make grade STAGE={first}                      outcome, points, and the first failure explained
    make watch STAGE={first} PROBLEM={problem}     grades again at every save
    make hint STAGE={first} PROBLEM={problem}      a nudge, then more
    make status                                     where you stand and what comes next

Read `{first}/HANDOUT.md`, then fill in the stubs in `learner/`. Everything there is yours; nothing overwrites it.
`make` alone lists all commands.

Your code runs as part of the whole: `make a1 IMPL=learner` trains a model with what you wrote. What you have not
written yet can be borrowed, for no points, from a full checkout of the workspace:

    make borrow STAGE={first} PROBLEM={problem} REFERENCE=<path of a full checkout>

So can the experiments, which show the inside of the solution and are not in this copy; they run here, with your code:

    make a1-study IMPL=learner REFERENCE=<path of a full checkout>

Stages in this copy: {stages}.
"""


@dataclass(frozen=True)
class Plan:
    """What is handed out and what stays, as paths from the root."""

    root: Path
    stages: tuple[str, ...]
    copied: tuple[Path, ...]
    withheld: tuple[Path, ...]


def plan(root: Path) -> Plan:
    """Sort the checkout's files. Raises: ContractError: no stage here."""
    stages = tuple(name for name in STAGES if (root / name / "exercises.py").is_file())
    if not stages:
        raise ContractError(f"{root} has no stage to release: wanted a1_basics/exercises.py and so on")
    files = list(_files(root))
    copied = [path for path in files if _is_front(path, stages)]
    programs = {p for p in files if p.parts[0] in stages and len(p.parts) > 2 and p.parts[1] == "run"}
    while True:  # a program that imports a withheld one is withheld as well
        modules = {_module(path) for path in [*copied, *programs]}
        held = {p for p in programs if _missing(root / p, stages, modules)}
        if not held:
            break
        programs -= held
    copied += sorted(programs)
    withheld = [
        p for p in files if p not in set(copied) and p.suffix == ".py" and _may_hold_solutions(p, stages)
    ]
    return Plan(root, stages, tuple(copied), tuple(withheld))


def _files(root: Path) -> Iterator[Path]:
    """The project's files: those of git when the checkout is one, else all but hidden ones and caches."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, capture_output=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        names = {Path(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name}
    else:
        names = {path.relative_to(root) for path in root.rglob("*")}
        made_here = {"learner", "artifacts", "runs", "build", "data"}
        names = {
            p
            for p in names
            if p.name in TOP_FILES
            or not (p.parts[0] in made_here or any(x == "__pycache__" or x.startswith(".") for x in p.parts))
        }
    yield from sorted(name for name in names if (root / name).is_file() and name.suffix != ".pyc")


def _is_front(path: Path, stages: tuple[str, ...]) -> bool:
    """Whether a file is handed out as it is (programs are judged apart, doors are written anew)."""
    top, depth = path.parts[0], len(path.parts)
    if depth == 1:
        return path.name in TOP_FILES
    if top == "shared":
        return True
    if top in stages:
        return (depth == 2 and path.name in FRONT) or path.parts[1] in FRONT_FOLDERS
    if top == "tests":
        graded = depth == 3 and path.parts[1] in stages
        return path == Path("tests/conftest.py") or graded or path.parts[1] in ("harness", "oracles")
    return False


def _may_hold_solutions(path: Path, stages: tuple[str, ...]) -> bool:
    return path.parts[0] in stages or path.parts[:2] in (("tests", "mutants"), ("tests", "alternatives"))


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _missing(path: Path, stages: tuple[str, ...], modules: set[str]) -> list[str]:
    """Modules of a stage that a file imports and that are not among those handed out."""
    if path.suffix != ".py":
        return []
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [
                f"{node.module}.{alias.name}"
                if node.module in stages or node.module.endswith(".run")
                else node.module
                for alias in node.names
            ]
        found += [
            name
            for name in names
            if name.split(".")[0] in stages and name not in modules and not name.endswith(".adapters")
        ]
    return found


def door_stubs(stage: str, root: Path) -> str:
    """The text of a stage's door in the student tree: every function of the protocol, none of them written."""
    signatures = Signatures(stage, root)
    lines = import_lines(signatures.imports(signatures.names).values(), False)
    stubs = [
        signatures.stub(
            name, "Not in the student release; yours is graded in `learner/`.", f"{name}: see learner/"
        )
        for name in signatures.names
    ]
    head = f'"""The door of {stage} in a student release: names and signatures only. Yours is learner/{stage}/."""\n'
    return head + "\n" + "\n".join(lines) + "\n\n\n" + "\n\n".join(stubs)


def build(root: Path, out: Path) -> Plan:
    """Write the student tree to a folder that does not exist yet or is empty.

    Raises:
        ConfigError: the folder is in use, or this tree is a release itself.
        ContractError: a solution leaked, or the tree does not grade as it must.
    """
    if is_release(root):
        raise ConfigError("this tree is a student release already; make releases from a full checkout")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"OUT={out} exists and is not empty; name a new folder")
    made = plan(root)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        _write(made, draft)
        leaks = [*leaked(made, draft), *dangling(made, draft)]
        if leaks:
            raise ContractError("the release would give solutions away or not work:\n  " + "\n  ".join(leaks))
        check_grades(made, draft)
        if out.exists():
            out.rmdir()
        draft.rename(out)
        out.chmod(0o755)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return made


def _write(made: Plan, draft: Path) -> None:
    for path in made.copied:
        target = draft / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(made.root / path, target)
    for stage in made.stages:
        (draft / stage / "adapters.py").write_text(door_stubs(stage, made.root), encoding="utf-8")
    first = made.stages[0]
    problem = exercises(first, made.root)[0].id
    text = README.format(first=first, problem=problem, stages=", ".join(made.stages))
    (draft / "README.md").write_text(text, encoding="utf-8")
    (draft / RELEASE_MARK).write_text(
        "A student tree: the doors in aN_name/adapters.py are stubs. REFERENCE=<a full checkout> lends solutions.\n",
        encoding="utf-8",
    )
    settings = draft / "pyproject.toml"
    if settings.is_file():
        heading = "[tool.pytest.ini_options]\n"
        text = settings.read_text(encoding="utf-8")
        settings.write_text(text.replace(heading, f'{heading}impl = "learner"\n'), encoding="utf-8")


def _functions(path: Path) -> Iterator[tuple[str, str]]:
    """(name, digest of the body without docstring) of each function of three statements or more."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if sum(isinstance(part, ast.stmt) for statement in body for part in ast.walk(statement)) >= 3:
                text = "\n".join(ast.dump(statement) for statement in body)
                yield node.name, hashlib.sha256(text.encode()).hexdigest()


def leaked(made: Plan, tree: Path) -> list[str]:
    """Files of the tree that equal a withheld one, functions that do, and doors that are more than stubs."""
    files = {hashlib.sha256((made.root / p).read_bytes()).hexdigest(): p for p in made.withheld}
    bodies = {body: (p, name) for p in made.withheld for name, body in _functions(made.root / p)}
    found = []
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree)
        if path.is_symlink():
            found.append(f"{name} is a link: a release holds plain files only")
        if path.suffix != ".py" or not path.is_file():
            continue
        same = files.get(hashlib.sha256(path.read_bytes()).hexdigest())
        if same is not None and path.stat().st_size > 200:
            found.append(f"{name} is the withheld {same}")
        for function, body in _functions(path):
            if body in bodies:
                found.append(f"{name}: {function} is {bodies[body][1]} of the withheld {bodies[body][0]}")
    for stage in made.stages:
        door = ast.parse((tree / stage / "adapters.py").read_text(encoding="utf-8"))
        written = [n.name for n in door.body if isinstance(n, ast.FunctionDef) and not is_stub(door, n.name)]
        found += [f"{stage}/adapters.py: {name} is no stub" for name in written]
    return found


def dangling(made: Plan, tree: Path) -> list[str]:
    """Imports in the tree of the workspace's own modules that it does not hold."""
    files = [path.relative_to(tree) for path in tree.rglob("*.py")]
    modules = {_module(path) for path in files}
    return [
        f"{path} imports {name}, which stays behind"
        for path in files
        for name in _missing(tree / path, (*made.stages, "shared"), modules)
        if name.rpartition(".")[0] not in modules or name.split(".")[0] != "shared"
    ]


def check_grades(made: Plan, tree: Path) -> None:
    """Write stubs in a copy of the tree and grade them there, as a learner would.

    Raises:
        ContractError: a problem is not `not started` (or left to a person), or the grader errs.
    """
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(tree, copy)
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "REFERENCE")}
        for stage in made.stages:
            for command in (["learn"], ["grade", "--check-tests"]):
                arguments = [
                    sys.executable,
                    "-m",
                    f"tests.harness.{command[0]}",
                    "--stage",
                    stage,
                    *command[1:],
                ]
                done = subprocess.run(
                    arguments, cwd=copy, env=environment, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    raise ContractError(
                        f"`{command[0]}` fails in the release:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
                    )
            from shared.doors.grades import results

            outcomes = {k: r["outcome"] for k, r in results(copy / "learner", stage).items()}
            wrong = {k: o for k, o in outcomes.items() if o not in ("not started", "not checked")}
            if wrong or len(outcomes) != len(exercises(stage, made.root)):
                raise ContractError(f"fresh stubs of {stage} in the release grade as {wrong or outcomes}")


def main(argv: list[str] | None = None) -> int:
    """Build, check and say what was written."""
    parser = argparse.ArgumentParser(prog="python -m shared.doors.release", description=__doc__)
    parser.add_argument("--out", type=Path, help="the folder to write (OUT=)")
    parser.add_argument("--root", type=Path, default=WORKSPACE, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    try:
        if chosen.out is None:
            raise ConfigError("where to? make release OUT=<a new folder>")
        made = build(chosen.root.resolve(), chosen.out.expanduser().resolve())
    except WorkspaceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(
        f"wrote {len(made.copied)} files, stubs in place of {', '.join(made.stages)}/adapters.py, to {chosen.out}"
    )
    print(
        f"withheld {len(made.withheld)} files; no solution found in it, and its problems grade as not started"
    )
    print(f"next: cd {chosen.out} && make learn STAGE={made.stages[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
