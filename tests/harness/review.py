"""Reading an implementation's source without running it: copies of the reference, imports of tests, odd places."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from shared.doors.load import Source

ODD_MODULES = {
    "_pytest",
    "pytest",
    "gc",
    "ctypes",
    "unittest",
    "inspect",
    "faulthandler",
    "pluggy",
    "linecache",
    "subprocess",
}
ODD_NAMES = {"sys.modules", "sys.meta_path", "sys._current_frames"}
ODD_ATTRIBUTES = {
    "tb_frame", "gi_frame", "cr_frame", "ag_frame", "f_back", "f_locals", "f_globals", "__closure__", "cell_contents",
    "__traceback__", "__globals__", "__code__",
}  # fmt: skip
"""Ways from a function or an error to what is behind it; as text too, for `getattr`."""
ODD_CALLS = {
    "os._exit", "sys._getframe", "os.kill", "atexit.register", "sys.settrace", "sys.setprofile", "os.system",
    "os.popen", "os.execv", "os.execvp", "os.posix_spawn", "os.posix_spawnp", "exec", "eval",
}  # fmt: skip
FRESH_PROCESSES = {"spawn", "forkserver"}
"""Ways to start a process in which no call is trapped."""
SMALLEST_COPY_BYTES = 200


def _parsed(files: list[Path]) -> Iterator[tuple[Path, ast.Module]]:
    for path in files:
        try:
            yield path, ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue


def copies_of_reference(files: list[Path], stage_folder: Path, source: Source) -> Iterator[str]:
    """Files of the implementation that lie in the reference's folder or equal one of its files byte for byte."""
    theirs = {}
    for path in stage_folder.rglob("*.py"):
        if path.stat().st_size >= SMALLEST_COPY_BYTES and path.name not in ("exercises.py", "configs.py"):
            theirs[hashlib.sha256(path.read_bytes()).hexdigest()] = path
    for path in files:
        if stage_folder.resolve() in path.resolve().parents:
            yield f"{_name(path, source)} (in {stage_folder.name}/)"
        elif hashlib.sha256(path.read_bytes()).hexdigest() in theirs:
            yield _name(path, source)


def imports_of_tests(files: list[Path], source: Source, root: Path) -> Iterator[str]:
    """Places where the implementation imports `tests`: its own test files and its own repository's `tests` excepted."""
    if source.import_root != root and (source.import_root / "tests").is_dir():
        return  # `tests` means that repository's own here; what means ours is stopped when it runs
    for path, tree in _parsed(files):
        if path.name.startswith("test_") or path.name == "conftest.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                if name.split(".")[0] == "tests":
                    yield f"{_name(path, source)}:{node.lineno} imports {name}"


def worth_reading(files: list[Path], source: Source) -> Iterator[str]:
    """Places that are seldom needed to solve an exercise and often to fool a grader. A person judges them."""
    for path, tree in _parsed(files):
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                for name in names:
                    if name.split(".")[0] in ODD_MODULES:
                        yield f"{_name(path, source)}:{node.lineno} imports {name}"
                    if isinstance(node, ast.ImportFrom):
                        for full in {f"{name}.{alias.name}" for alias in node.names} & (
                            ODD_NAMES | ODD_CALLS
                        ):
                            yield f"{_name(path, source)}:{node.lineno} imports {full}"
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ODD_CALLS:
                yield f"{_name(path, source)}:{node.lineno} calls {ast.unparse(node.func)}"
            elif isinstance(node, ast.Attribute) and (
                ast.unparse(node) in ODD_NAMES or ast.unparse(node).startswith("torch.ops.")
            ):
                yield f"{_name(path, source)}:{node.lineno} uses {ast.unparse(node)}"
            elif isinstance(node, ast.Attribute) and node.attr in ODD_ATTRIBUTES:
                yield f"{_name(path, source)}:{node.lineno} uses {node.attr}"
            elif (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and ("/proc/" in node.value or node.value in ODD_ATTRIBUTES or node.value in FRESH_PROCESSES)
            ):
                yield f"{_name(path, source)}:{node.lineno} names {node.value[:40]!r}"


def _name(path: Path, source: Source) -> str:
    return str(path.relative_to(source.import_root)) if source.import_root in path.parents else path.name
