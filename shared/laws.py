"""The workspace's own laws, as functions from a source file to the places where it breaks one.

They read text and syntax trees and run nothing. What they hold together is the door: every stage can be
swapped for a learner's because nobody reaches behind it. `shared.check` runs them all; its tests plant each
violation.
"""

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

STAGES = ("a1_basics", "a2_systems", "a3_scaling", "a4_data", "a5_alignment")
DOORWAYS = ("adapters", "exercises")  # the only modules of a stage that others may import
STAGE_FRONT = ("HANDOUT.md", "exercises.py", "configs.py", "run")
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
TEXT_SUFFIXES = {".py", ".md", ".toml", ".sh", ".cff", ".yml", ".yaml", ".cfg", ".ini", ".json", ".txt", ""}
MACHINE_PATH = re.compile(r"(?<![\w.$})\]])/(?:home|root|Users|mnt|opt|work|private)/[\w.]")
INDEX_WORDS = ("py" + "pi.org", "python" + "hosted.org", "download." + "pytorch.org", "npm" + "js.org")
INDEX_OPTIONS = ("--index" + "-url", "--extra-index" + "-url", "UV_" + "INDEX", "PIP_" + "INDEX_URL")


@dataclass(frozen=True)
class Violation:
    """A line that breaks a law, and what to do instead."""

    path: Path
    line: int
    law: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.law}"


def project_files(root: Path) -> list[Path]:
    """What belongs to the project, relative to the root: all that git does not ignore, or all but caches."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, capture_output=True, check=False
    )
    if listed.returncode == 0:
        names = [Path(name) for name in listed.stdout.decode().split("\0") if name]
        return sorted(name for name in names if (root / name).is_file())
    hidden = {".venv", "artifacts", "runs", "learner", "build", "data", "__pycache__"}
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path for path in found if not hidden & set(path.parts))


def imported_modules(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a file imports, relative and string imports included."""
    package = path.parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *(node.module.split(".") if node.module else [])])
            if node.module and stem not in STAGES:
                yield node.lineno, stem
            else:  # `from a1_basics import x`, `from . import x`: the names are what is reached
                yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.args[0].value
            if ast.unparse(node.func) in (
                "importlib.import_module",
                "import_module",
                "__import__",
            ) and isinstance(name, str):
                yield node.lineno, name


def import_laws(path: Path, tree: ast.AST) -> Iterator[Violation]:
    """Law 1: a stage imports itself and `shared`; others use its door; graded tests import none."""
    home = path.parts[0]
    section, tested, *_ = (*path.parts[1:], "", "", "") if home == "tests" else ("", "")
    for line, name in imported_modules(tree, path):
        stage, _, inside = name.partition(".")
        if stage == "tests" and (home in STAGES or home == "shared"):
            yield Violation(path, line, f"{home} imports {name}: the workspace does not depend on its tests")
        if stage == "learner":
            yield Violation(
                path, line, f"imports {name}: a learner's code is reached through shared.doors.resolve only"
            )
        if stage not in STAGES:
            continue
        through_door = inside.split(".")[0] in DOORWAYS
        if home in STAGES and stage != home:
            yield Violation(
                path, line, f"{home} imports {name}: another stage is reached by shared.doors.resolve.door"
            )
        elif home == "shared" and not through_door:
            yield Violation(
                path,
                line,
                f"shared imports {name}: only {stage}.adapters and {stage}.exercises are open to it",
            )
        elif section in STAGES or section == "oracles":
            yield Violation(path, line, f"a graded test imports {name}: it sees only the `adapters` fixture")
        elif section == "harness" and not through_door:
            yield Violation(
                path, line, f"the grader imports {name}: only {stage}'s door and exercises are open to it"
            )
        elif (
            section == "units"
            and path.parts[2] in (*STAGES, "shared")
            and path.parts[2] != stage
            and not through_door
        ):
            yield Violation(path, line, f"a test of {tested} imports {name}, the inside of another part")


def program_laws(path: Path, tree: ast.Module) -> Iterator[Violation]:
    """Law 2: a program in `run/` declares what it reads and writes, and importing it does nothing."""
    if (
        path.parts[0] not in STAGES
        or len(path.parts) < 3
        or path.parts[1] != "run"
        or path.name == "__init__.py"
    ):
        return
    declared = set()
    for node in tree.body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        declared |= {ast.unparse(target) for target in targets}
        is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        if is_call or isinstance(node, ast.For | ast.While | ast.With):
            yield Violation(path, node.lineno, "a program works while it is imported: move this under main")
    for name in ("INPUTS", "OUTPUTS"):
        if name not in declared:
            yield Violation(
                path,
                1,
                f"declares no {name}: name the artifact kinds it {'reads' if name == 'INPUTS' else 'writes'}",
            )


def code_laws(path: Path, tree: ast.Module) -> Iterator[Violation]:
    """Loads that could run foreign code, and what hides errors. Mutants may do wrong: it is their work."""
    if "mutants" in path.parts:
        return
    if path.parts[0] in (*STAGES, "shared") and path.name != "__init__.py" and not ast.get_docstring(tree):
        yield Violation(path, 1, "has no module docstring")
    if set(path.with_suffix("").parts) & VAGUE_NAMES:
        yield Violation(path, 1, "has a name that says nothing: name the idea it holds")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            yield Violation(
                path,
                node.lineno,
                "imports from __future__: shapes in annotations would go unchecked",
            )
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield Violation(path, node.lineno, "catches everything: name the errors it expects")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name == "torch.load" and keywords.get("weights_only") != "True":
                yield Violation(path, node.lineno, "torch.load without weights_only=True")
            elif (
                name in ("pickle.load", "pickle.loads", "joblib.load")
                or keywords.get("allow_pickle") == "True"
            ):
                yield Violation(path, node.lineno, f"{name} unpickles, which runs code from the file")
            elif name == "time.sleep" and path.parts[0] == "tests" and "harness" not in path.parts:
                yield Violation(path, node.lineno, "a test sleeps: wait for the event instead")


def setting_laws(sources: Mapping[Path, tuple[str, ast.Module]]) -> Iterator[Violation]:
    """Every setting of a program has a comment: on the field's first line or right above, where `--help` finds it.

    Settings are the fields of the dataclass that `main` takes in a file that calls `run_program`, of the classes that
    it inherits from, and of those that its annotations name.
    """
    classes: dict[str, list[tuple[Path, ast.ClassDef]]] = {}
    waiting: list[str] = []
    for path, (text, tree) in sources.items():
        if path.parts[0] not in (*STAGES, "shared"):
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append((path, node))
            elif isinstance(node, ast.FunctionDef) and node.name == "main" and "run_program(main" in text:
                waiting += _names([argument.annotation for argument in node.args.args])
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for path, node in classes.get(name, []):
            fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
            waiting += _names([*node.bases, *(field.annotation for field in fields)])
            rows = sources[path][0].splitlines()
            for field in fields:
                own, above = rows[field.lineno - 1], rows[field.lineno - 2]
                if not re.search(r"\s# ", own) and not above.lstrip().startswith("#"):
                    said = f"{name}.{ast.unparse(field.target)} has no comment on its first line or above"
                    yield Violation(path, field.lineno, f"{said}: --help has nothing to say of it")


def _names(annotations: Iterable[ast.expr | None]) -> list[str]:
    """The plain names in some annotations or bases, those inside `X | None` and `tuple[X, ...]` included."""
    nodes = (node for annotation in annotations if annotation for node in ast.walk(annotation))
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def text_laws(path: Path, text: str) -> Iterator[Violation]:
    """No path of one machine, and no package index outside `uv.lock`."""
    if path.name == "uv.lock":
        return
    for number, row in enumerate(text.splitlines(), 1):
        if found := MACHINE_PATH.search(row):
            yield Violation(path, number, f"names a path of some machine: {found.group()}…")
        for word in (*INDEX_WORDS, *INDEX_OPTIONS):
            if word in row:
                yield Violation(path, number, f"names a package index ({word}): only uv.lock does")


def front_laws(files: list[Path]) -> Iterator[Violation]:
    """Every stage that has a door has the same front, so that one stage read is all of them known."""
    names = {path.as_posix() for path in files}
    for stage in STAGES:
        if f"{stage}/adapters.py" in names:
            for part in STAGE_FRONT:
                if not any(
                    name == f"{stage}/{part}" or name.startswith(f"{stage}/{part}/") for name in names
                ):
                    yield Violation(Path(stage), 1, f"lacks {part}, part of every stage's front")


def violations(root: Path, files: list[Path]) -> Iterator[Violation]:
    """Every violation in the given files, whose paths are relative to the root."""
    yield from front_laws(files)
    sources: dict[Path, tuple[str, ast.Module]] = {}
    for path in files:
        if path.suffix not in TEXT_SUFFIXES:
            continue
        try:
            text = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # binary, or bytes that a test needs as they are
        yield from text_laws(path, text)
        if path.suffix == ".py":
            try:
                tree = ast.parse(text)
            except SyntaxError as error:
                yield Violation(path, error.lineno or 1, f"does not parse: {error.msg}")
                continue
            sources[path] = text, tree
            yield from import_laws(path, tree)
            yield from program_laws(path, tree)
            yield from code_laws(path, tree)
    yield from setting_laws(sources)
