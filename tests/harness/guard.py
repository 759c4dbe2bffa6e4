"""What learner code may not reach: the stages' insides, our tests, and the functions that decide a verdict.

The import guard stops the first two as they happen; `Seals` notices afterwards that a function was replaced.
"""

import builtins
import importlib
import importlib.abc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from shared.doors.exercise import STAGES
from shared.doors.load import Source


class ForbiddenImport(ImportError):
    """An import that an implementation under grading may not make."""


class ImportGuard(importlib.abc.MetaPathFinder):
    """Refuses imports of the stages' packages (the reference) and, from the learner's files, of `tests`.

    Reading the reference's files, and writing the tests', is recorded by an audit hook, which nothing can remove.
    """

    def __init__(self, source: Source, root: Path) -> None:
        self.source, self.root = source, root
        self.reference: list[str] = []
        self.tests: list[dict[str, Any]] = []
        self.rewritten: list[str] = []
        self._installed: tuple[Any, ...] = (builtins.__import__, importlib.import_module)
        self._read: tuple[str, ...] = ()
        self._written = ""

    def install(self) -> None:
        """Guard this process, for good."""
        sys.meta_path.insert(0, self)
        inner_import, inner_module = builtins.__import__, importlib.import_module

        def guarded_import(
            name: str,
            globals: dict[str, Any] | None = None,
            locals: dict[str, Any] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> ModuleType:
            if level == 0 and name.split(".")[0] == "tests":
                own = self._check_tests(name, sys._getframe(1))
                if own and fromlist:
                    return inner_module(own)
            return inner_import(name, globals, locals, fromlist or (), level)

        def guarded_module(name: str, package: str | None = None) -> ModuleType:
            if name.split(".")[0] == "tests":
                own = self._check_tests(name, sys._getframe(1))
                if own:
                    return inner_module(own)
            return inner_module(name, package)

        builtins.__import__ = guarded_import
        importlib.import_module = guarded_module
        self._installed = (guarded_import, guarded_module)
        self._read = tuple(f"{(self.root / stage).resolve()}{os.sep}" for stage in STAGES)
        own = [f"{place}{os.sep}" for place in self.source.own if place.is_dir()]
        self._read = tuple(folder for folder in self._read if folder not in own)
        self._written = f"{(self.root / 'tests').resolve()}{os.sep}"
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str):
            return
        path, mode, flags = arguments[0], arguments[1] or "", arguments[2] or 0
        if path.startswith(self._read) and path.endswith(".py") and len(self.reference) < 20:
            self.reference.append(os.path.basename(path))
        writes = any(letter in mode for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR)
        if writes and path.startswith(self._written) and len(self.rewritten) < 20:
            self.rewritten.append(os.path.basename(path))

    def removed(self) -> list[str]:
        """What of this guard is no longer in place, and files of the tests that were opened for writing."""
        found = [] if sys.meta_path[:1] == [self] else ["sys.meta_path"]
        if (builtins.__import__, importlib.import_module) != self._installed:
            found.append("the import function")
        return [*found, *self.rewritten]

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Refuse a stage's package. Raises: ForbiddenImport."""
        stage = fullname.split(".")[0]
        if stage not in STAGES or not (self.root / stage).is_dir():
            return
        if self.source.import_root != self.root and (self.source.import_root / stage).is_dir():
            return
        if len(self.reference) < 20:
            self.reference.append(fullname)
        raise ForbiddenImport(
            f"{fullname} is the reference: an implementation under grading stands on its own. "
            "To use the reference's solution of a problem, say so: make borrow PROBLEM=..."
        )

    def _check_tests(self, name: str, frame: Any) -> str:
        """The module in the learner's own repository that is meant, if there is one. Raises: ForbiddenImport."""
        filename = frame.f_code.co_filename
        if not self.source.owns(filename):
            return ""
        if self.source.import_root != self.root:
            own = self.source.import_root.joinpath(*name.split("."))
            package = self.source.module.rpartition(".")[0]
            if (
                self.source.file.parent == self.source.import_root / "tests"
                and own.with_suffix(".py").is_file()
            ):
                return package + name.removeprefix("tests")
        if len(self.tests) < 20:
            self.tests.append({"name": name, "file": filename, "line": frame.f_lineno})
        raise ForbiddenImport(f"{name}: an implementation may not import the tests that grade it")


SEALED_MODULES = (
    "_pytest.runner", "_pytest.python", "_pytest.python_api", "_pytest.reports", "_pytest.outcomes", "_pytest.raises",
    "_pytest.skipping", "_pytest.main", "_pytest.fixtures", "_pytest.nodes", "math", "numpy.testing",
    "tests.harness.explain", "tests.harness.child", "tests.harness.records",
)  # fmt: skip
SEALED_NAMES = {
    "builtins": "abs all any bool dict enumerate float getattr hasattr int isinstance iter len list max min next range "
    "repr round set sorted str sum tuple type zip bytes",
    "torch": "equal allclose isclose as_tensor from_numpy tensor no_grad enable_grad",
    "torch.testing": "assert_close",
    "torch.Tensor": "__eq__ __ne__ __lt__ __gt__ equal allclose detach numpy tolist item double to max min abs all any",
    "numpy": "array_equal allclose isclose asarray array abs isnan where argmax unravel_index all any ndarray float64",
    "json": "dumps",
    "os": "write _exit getpid",
}


class Seals:
    """The identity of every function a verdict depends on, as it was before learner code was imported."""

    def __init__(self, folders: list[Path] | None = None) -> None:
        places = tuple(f"{folder.resolve()}{os.sep}" for folder in folders or [])
        loaded = [(n, getattr(m, "__file__", None) or "") for n, m in list(sys.modules.items())]
        self._modules = (*SEALED_MODULES, *(n for n, file in loaded if places and file.startswith(places)))
        self._before = dict(self._walk())

    def broken(self) -> list[str]:
        """The names whose function is no longer the same."""
        now = dict(self._walk())
        return sorted(name for name, value in self._before.items() if not _same(value, now.get(name)))

    def _walk(self) -> list[tuple[str, Any]]:
        rows: list[tuple[str, Any]] = []
        for module_name in self._modules:
            module = sys.modules.get(module_name)
            for name, value in list(vars(module).items()) if module else []:
                if isinstance(value, type) and value.__module__ == module_name:
                    rows += [
                        (f"{module_name}.{name}.{k}", _face(v)) for k, v in vars(value).items() if callable(v)
                    ]
                elif callable(value):
                    rows.append((f"{module_name}.{name}", _face(value)))
        for home_name, names in SEALED_NAMES.items():
            home: Any = sys.modules.get(home_name) or sys.modules["torch"].Tensor
            rows += [(f"{home_name}.{name}", _face(getattr(home, name, None))) for name in names.split()]
        return rows


def _face(value: Any) -> tuple[Any, Any]:
    """A function and the code it holds: replacing either is noticed."""
    return (value, value.__code__ if isinstance(value, FunctionType) else None)


def _same(before: Any, now: Any) -> bool:
    return now is not None and before[0] is now[0] and before[1] is now[1]


def reference_files(functions: dict[str, Any], stage_folder: Path, unwrap: Callable[[Any], Any]) -> list[str]:
    """Of these door functions, those whose code lies in the reference's folder."""
    found = []
    for name, value in functions.items():
        code = getattr(unwrap(value), "__code__", None)
        module = sys.modules.get(getattr(unwrap(value), "__module__", "") or "")
        filename = code.co_filename if code is not None else getattr(module, "__file__", None)
        if filename and stage_folder.resolve() in Path(filename).resolve().parents:
            found.append(name)
    return found
