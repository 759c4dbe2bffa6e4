"""Find and import the module behind a door: the reference, the learner's, a dotted package, or a path.

Finding (`locate`) imports nothing, so the grader's own process may do it;
importing (`load`) runs what was found.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.doors.exercise import STAGES
from shared.doors.grades import borrowed_from
from shared.errors import ConfigError, ContractError

WORKSPACE = Path(__file__).resolve().parents[2]
"""The checkout that this code lies in."""

REPOSITORY_MARKS = ("pyproject.toml", "setup.py", ".git", "uv.lock")
RELEASE_MARK = "STUDENT_RELEASE"
"""A file at the root of a student tree, where the reference's place is taken by stubs."""


@dataclass(frozen=True)
class Source:
    """Where the code behind a door lies."""

    stage: str
    impl: str
    kind: str  # reference | learner | dotted | path
    file: Path  # the adapters file
    module: str  # the name under which it is imported
    import_root: Path  # put on sys.path
    own: tuple[Path, ...]  # files and folders whose code counts as this implementation's

    def owns(self, filename: str) -> bool:
        """Whether a source file is part of this implementation rather than a library of it."""
        path = Path(filename)
        libraries = {".venv", "venv", "site-packages"}
        for place in self.own:
            if path == place or (
                place in path.parents and not libraries.intersection(path.relative_to(place).parts)
            ):
                return True
        return False

    def packed(self) -> dict[str, Any]:
        """Plain values, for a process that would search from another folder or along another path."""
        return {name: str(value) for name, value in vars(self).items()} | {"own": [str(p) for p in self.own]}

    @classmethod
    def unpacked(cls, values: Mapping[str, Any]) -> "Source":
        """What `packed` gave."""
        file, import_root = Path(values["file"]), Path(values["import_root"])
        own = tuple(Path(path) for path in values["own"])
        return cls(**{**values, "file": file, "import_root": import_root, "own": own})


def locate(stage: str, impl: str, root: Path | None = None) -> Source:
    """Where the implementation lies, without importing anything.

    Raises:
        ContractError: nothing is there; the message names what was looked for and the next command.
    """
    root = (root or WORKSPACE).resolve()
    if impl == "reference":
        file = root / stage / "adapters.py"
        if not file.is_file():
            raise ContractError(f"no reference of stage {stage} in {root}; wanted {stage}/adapters.py")
        return Source(stage, impl, "reference", file, f"{stage}.adapters", root, (root / stage,))
    if impl == "learner":
        file = root / "learner" / stage / "adapters.py"
        if not file.is_file():
            raise ContractError(
                f"there is no learner/{stage}/adapters.py yet; write the stubs with: make learn STAGE={stage}"
            )
        return Source(stage, impl, "learner", file, f"learner.{stage}.adapters", root, (root / "learner",))
    if os.sep in impl or impl.startswith(("~", ".")) or impl.endswith(".py") or Path(impl).exists():
        return _by_path(stage, impl)
    return _by_name(stage, impl)


def _by_path(stage: str, impl: str) -> Source:
    path = Path(impl).expanduser().resolve()
    if path.suffix == ".py":
        if not path.is_file():
            raise ContractError(
                f"IMPL={impl}: there is no file {path}; name the file that holds your functions"
            )
        file = path
    else:
        places = ("adapters.py", f"{stage}/adapters.py", f"learner/{stage}/adapters.py", "tests/adapters.py")
        file = next((path / place for place in places if (path / place).is_file()), None)
        if file is None:
            raise ContractError(
                f"IMPL={impl}: no adapters file there; looked in {path} for {', '.join(places)}. "
                "Name the file itself when it is called otherwise: IMPL=<folder>/<name>.py"
            )
    if file.parent.name == stage and file.parent.parent.name == "learner":
        repository = file.parents[2]
        own: Path = file.parents[1]
        module = f"learner.{stage}.adapters"
    else:
        outside = (p for p in file.parents if not (p / "__init__.py").is_file() and p.name != "tests")
        repository = next(outside) if path.suffix == ".py" or path == file.parent else path
        for parent in file.parents:
            if parent == WORKSPACE or parent in WORKSPACE.parents:
                break
            if any((parent / mark).exists() for mark in REPOSITORY_MARKS):
                repository = parent
                break
        own = file if WORKSPACE / "tests" in file.parents else repository
        # Public solutions sit in tests/adapters.py: a name of our own keeps them apart from our tests.
        unique = hashlib.sha256(str(file).encode()).hexdigest()[:12]
        module = f"_implementation_{unique}.{file.stem}"
    return Source(stage, impl, "path", file, module, repository, (own,))


def _by_name(stage: str, impl: str) -> Source:
    """A dotted name is looked up along sys.path, not by importing its parents, which would run their code."""
    parts = impl.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ConfigError(
            f"IMPL={impl!r} is none of: reference, learner, a dotted package, "
            "a path to a package or to an adapters file"
        )
    for entry in [Path(p or os.getcwd()) for p in sys.path]:
        base = entry.joinpath(*parts)
        for file, name in (
            (base / "adapters.py", f"{impl}.adapters"),
            (base / stage / "adapters.py", f"{impl}.{stage}.adapters"),
            (base.with_suffix(".py"), impl),
            (base / "__init__.py", impl),
        ):
            if file.is_file():
                top = entry.resolve() / parts[0]
                own = top if top.is_dir() else file.resolve()
                return Source(stage, impl, "dotted", file.resolve(), name, entry.resolve(), (own,))
    raise ContractError(
        f"IMPL={impl}: no such package on the Python path, and no file of that name; "
        "a path needs a slash, for example IMPL=./mine/adapters.py"
    )


def load(stage: str, impl: str, root: Path | None = None) -> ModuleType:
    """Import the module behind a door.

    An adapters file given by path is imported under a name of its own, its folder as its package (so that
    `from .attention import attention` works) and its repository on `sys.path` (for its own packages).

    Raises:
        ContractError: nothing is there, or another repository of the same name was imported before it.
    """
    source = locate(stage, impl, root)
    if source.kind == "reference" and is_release(source.import_root):
        return load_reference_of(source, reference_root())
    return load_source(source)


def load_source(source: Source) -> ModuleType:
    """Import what `locate` found. Raises: ContractError, or whatever the imported code raises."""
    import_root = str(source.import_root)
    if import_root not in sys.path:
        sys.path.insert(0, import_root)
    package = source.module.rpartition(".")[0]
    if package.startswith("_implementation_") and package not in sys.modules:
        shell = ModuleType(package)
        shell.__path__ = [str(source.file.parent)]
        sys.modules[package] = shell
    module = importlib.import_module(source.module)
    found = Path(module.__file__ or "").resolve()
    if found != source.file.resolve():
        raise ContractError(
            f"IMPL={source.impl}: wanted {source.file}, but {source.module} is already {found}; "
            "give each implementation a process of its own"
        )
    return module


def is_release(root: Path) -> bool:
    """Whether this tree is a student release, whose stage doors are stubs."""
    return (root / RELEASE_MARK).is_file()


def reference_root() -> Path:
    """The full checkout named by the environment variable REFERENCE, or the one named when borrowing.

    Raises:
        ConfigError: none was named, or it is not a full checkout.
    """
    named = os.environ.get("REFERENCE", "") or _named_when_borrowing()
    if not named:
        raise ConfigError(
            "this tree is a student release: the reference is not in it. To borrow, say where a full "
            "checkout lies: REFERENCE=<path of the full checkout>"
        )
    root = Path(named).expanduser().resolve()
    if is_release(root) or not (root / "shared" / "doors").is_dir():
        raise ConfigError(
            f"REFERENCE={named} is no full checkout: wanted a folder with a1_basics/ and shared/"
        )
    return root


def lacking(programs: Iterable[str], root: Path = WORKSPACE) -> list[str]:
    """Which of these programs a student release leaves out; the full checkout has them. None in a full checkout.

    Raises:
        ConfigError: some are left out, and no full checkout is named that could lend them.
    """

    def absent(names: Iterable[str], tree: Path) -> list[str]:
        return [name for name in names if not tree.joinpath(*name.split(".")).with_suffix(".py").is_file()]

    wanted = absent(dict.fromkeys(programs), root) if is_release(root) else []
    if not wanted:
        return []
    try:
        checkout = reference_root()
    except ConfigError:
        if os.environ.get("REFERENCE"):
            raise
        raise ConfigError(
            f"a student release leaves out {', '.join(wanted)}: they show the inside of the solution. A full checkout "
            "lends them, and they run here with your code: add IMPL=learner REFERENCE=<path of a full checkout>"
        ) from None
    unknown = absent(wanted, checkout)
    if unknown:
        raise ConfigError(
            f"there is no {', '.join(unknown)}, neither here nor in REFERENCE={checkout}; see `make`"
        )
    return wanted


def _named_when_borrowing() -> str:
    learner = WORKSPACE / "learner"
    return next((named for stage in STAGES if (named := borrowed_from(learner, stage))), "")


def load_reference_of(source: Source, checkout: Path) -> ModuleType:
    """The reference door of another checkout, its insides found through this tree's package of that name."""
    stage = source.stage
    file = checkout / stage / "adapters.py"
    if not file.is_file():
        raise ConfigError(f"REFERENCE={checkout} has no {stage}/adapters.py")
    name = f"{stage}.borrowed_adapters"
    if name in sys.modules:
        return sys.modules[name]
    if str(source.import_root) not in sys.path:
        sys.path.insert(0, str(source.import_root))
    package = importlib.import_module(stage)
    if str(file.parent) not in package.__path__:
        package.__path__.append(str(file.parent))
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ContractError(f"{file} cannot be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
