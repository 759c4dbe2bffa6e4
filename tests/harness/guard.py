"""What learner code may not reach: the stages' insides, our tests, and the interpreter's frames.

Imports are refused as they happen. The rest is recorded by an audit hook, which nothing can remove.
"""

import builtins
import importlib
import importlib.abc
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.doors.exercise import STAGES
from shared.doors.load import Source

FRAME_NAMES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}
FRAME_EVENTS = {
    "sys._getframe", "sys._current_frames", "sys._current_exceptions", "sys.settrace", "sys.setprofile",
    "gc.get_objects", "gc.get_referrers", "gc.get_referents",
}  # fmt: skip


class ForbiddenImport(ImportError):
    """An import that an implementation under grading may not make."""


class ImportGuard(importlib.abc.MetaPathFinder):
    """Refuses imports of the stages' packages (the reference) and, from the learner's files, of `tests`.

    An audit hook records reading the reference's files, writing the tests', and taking hold of a frame or of the
    list of all objects: a way to the grader's own state. `frame_taken` is told at once, before anything can be undone.
    """

    def __init__(self, source: Source, root: Path, frame_taken: Callable[[str, str, int], None]) -> None:
        self.source, self.root, self._frame_taken = source, root, frame_taken
        self.reference: list[str] = []
        self.tests: list[dict[str, Any]] = []
        self.rewritten: list[str] = []
        self._installed: tuple[Any, ...] = (builtins.__import__, importlib.import_module)
        self._read: tuple[str, ...] = ()
        self._written = ""
        self._local = threading.local()

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
        if event in FRAME_EVENTS or (event == "object.__getattr__" and arguments[1] in FRAME_NAMES):
            self._audit_frame(arguments[1] if event == "object.__getattr__" else event)
        if event != "open" or not isinstance(arguments[0], str):
            return
        path, mode, flags = arguments[0], arguments[1] or "", arguments[2] or 0
        if path.startswith(self._read) and path.endswith(".py") and len(self.reference) < 20:
            self.reference.append(os.path.basename(path))
        writes = any(letter in mode for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR)
        if writes and path.startswith(self._written) and len(self.rewritten) < 20:
            self.rewritten.append(os.path.basename(path))

    def _audit_frame(self, what: str) -> None:
        if getattr(self._local, "busy", False):
            return  # looking at who asks takes a frame too
        self._local.busy = True
        try:
            frame = sys._getframe(2)
            hands_on = os.path.basename(frame.f_code.co_filename) == "inspect.py"
            if (hands_on or frame.f_code.co_name in ("walk_tb", "walk_stack")) and frame.f_back:
                frame = frame.f_back  # the frame goes to whoever called
            filename = frame.f_code.co_filename
            if self.source.owns(filename) or filename.startswith("<string"):
                self._frame_taken(what, filename, frame.f_lineno)
        finally:
            self._local.busy = False

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
