"""What learner code may not reach: the stages' insides, our tests, and the interpreter's frames.

Imports are refused as they happen. The rest is recorded by an audit hook, which nothing can remove.
"""

import builtins
import contextlib
import importlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

from shared.doors.exercise import STAGES
from shared.doors.load import WORKSPACE, Source
from tests.harness.shut import shut_modules

FRAME_NAMES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}
FRAME_EVENTS = {
    "sys._getframe", "sys._current_frames", "sys._current_exceptions", "sys.settrace", "sys.setprofile",
    "gc.get_objects", "gc.get_referrers", "gc.get_referents",
}  # fmt: skip
PATHS = {"open": 1, "os.link": 2, "os.symlink": 2, "os.rename": 2, "os.remove": 1, "os.truncate": 1}
"""Audit events about files -> how many of their first arguments are paths."""
STARTS_A_PROGRAM = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"}


class ForbiddenImport(ImportError):
    """An import that an implementation under grading may not make."""


class ImportGuard:
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
        self._local = threading.local()
        self._finder: Any = SimpleNamespace()  # within everybody's reach, so it holds nothing of this

    def install(self) -> None:
        """Guard this process, for good."""
        self._finder.find_spec = lambda fullname, path=None, target=None: self.find_spec(fullname)
        sys.meta_path.insert(0, self._finder)
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
        self._note_files()
        folders = {f for tests in self._tests() for f in (tests, tests.resolve())}
        shut_modules(tuple(f"{folder}{os.sep}" for folder in folders), self._is_theirs, self._refuse)
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FRAME_EVENTS or (event == "object.__getattr__" and arguments[1] in FRAME_NAMES):
            self._audit_frame(arguments[1] if event == "object.__getattr__" else event)
        if event in STARTS_A_PROGRAM:
            for word in _words(arguments):
                if self._known(word) in ("reference", "tests"):
                    self._audit_path(word, False)
        for place, path in enumerate(arguments[: PATHS.get(event, 0)]):
            if event == "open":
                flags = arguments[2] or 0
                is_write = any(c in (arguments[1] or "") for c in "wax+") or flags & (os.O_WRONLY | os.O_RDWR)
            else:
                is_write = place == 1 or event not in ("os.link", "os.symlink")
            self._audit_path(path, bool(is_write))

    def _note_files(self) -> None:
        """Remember the files by their inodes: a link, a detour and a path in bytes lead to the same one."""
        self._inodes: dict[tuple[int, int], str] = {
            _inode(p): "above" for p in (self.root, *self.root.parents)
        }
        own = {os.path.realpath(place) for place in self.source.own}
        reference = [self.root / stage for stage in STAGES]
        for what, folders in {"reference": reference, "tests": self._tests()}.items():
            for folder in dict.fromkeys(os.path.realpath(folder) for folder in folders):
                for here, _, names in os.walk(folder) if folder not in own else ():
                    for path in (here, *(os.path.join(here, name) for name in names)):
                        real = os.path.realpath(path) if os.path.islink(path) else path  # as `folder` is real
                        if real in own:
                            continue
                        with contextlib.suppress(OSError):  # a broken link, or a cache that was renamed
                            self._inodes[_inode(real)] = what

    def _tests(self) -> list[Path]:
        return [self.root / "tests", WORKSPACE / "tests"]

    def _is_theirs(self, filename: str) -> bool:
        return filename.startswith("<string") or self.source.owns(filename)

    def _refuse(self, does: str, name: str, frame: Any) -> NoReturn:
        """Record what learner code asks of a module of the tests, or lays into it. Raises: ForbiddenImport, always."""
        if does == "reads":
            self._note_test(name, frame.f_code.co_filename, frame.f_lineno, does)
        elif len(self.rewritten) < 20:
            self.rewritten.append(name)
        raise ForbiddenImport(f"{name}: an implementation may not reach into the tests that grade it")

    def _known(self, path: Any) -> str:
        """Whether a path leads to the reference, to the tests or above them; empty for any other."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return ""  # a file descriptor: it was opened before
        try:
            return self._inodes.get(_inode(path), "")
        except (OSError, ValueError, TypeError):
            return ""

    def _audit_path(self, path: Any, is_write: bool) -> None:
        known = self._known(path)
        if known == "reference" or (
            known == "above" and not is_write
        ):  # a descriptor there opens all below it
            self._note_reference(path)
        elif known == "tests" and not is_write:
            self._audit_test_read(path)
        if is_write and isinstance(path, (str, bytes, os.PathLike)):
            text = os.fsdecode(path)
            folder = text.rpartition("/")[0] or ("/" if text.startswith("/") else ".")
            if "tests" in (known, self._known(folder)) and len(self.rewritten) < 20:
                self.rewritten.append(text)

    def _audit_test_read(self, path: Any) -> None:
        """Record a file of the tests that learner code reads, and none that the tests themselves or a printout do."""
        if getattr(self._local, "busy", False):
            return
        self._local.busy = True
        try:
            frame: Any = sys._getframe(3)
            filename, line = "a thread", 0
            while frame is not None:
                filename, line = frame.f_code.co_filename, frame.f_lineno
                if self._is_theirs(filename):
                    break
                if filename.endswith(("traceback.py", "warnings.py")):
                    return  # the lines of a stack are shown
                if self._known(filename) == "tests" and filename != __file__:
                    return
                frame = frame.f_back
            self._note_test(os.fsdecode(path).rpartition("/")[2], filename, line, "reads")
        finally:
            self._local.busy = False

    def _note_reference(self, path: Any) -> None:
        if len(self.reference) < 20:
            self.reference.append(os.fsdecode(path).rstrip("/").rpartition("/")[2])

    def _note_test(self, name: str, filename: str, line: int, does: str) -> None:
        if len(self.tests) < 20:
            self.tests.append({"name": name, "file": filename, "line": line, "does": does})

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
            if self._is_theirs(filename):
                self._frame_taken(what, filename, frame.f_lineno)
        finally:
            self._local.busy = False

    def removed(self) -> list[str]:
        """What of this guard is no longer in place, and files of the tests that were opened for writing."""
        found = [] if sys.meta_path and sys.meta_path[0] is self._finder else ["sys.meta_path"]
        if (builtins.__import__, importlib.import_module) != self._installed:
            found.append("the import function")
        return [*found, *self.rewritten]

    def find_spec(self, fullname: str) -> None:
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
            f"To use the reference's solution of a problem, say so: make borrow STAGE={stage} PROBLEM=..."
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
        self._note_test(name, filename, frame.f_lineno, "imports")
        raise ForbiddenImport(f"{name}: an implementation may not import the tests that grade it")


def _inode(path: Any, stat: Callable[[Any], os.stat_result] = os.stat) -> tuple[int, int]:
    """Which file this is. `stat` is kept here: learner code could replace the name."""
    found = stat(path)
    return found.st_dev, found.st_ino


def _words(arguments: Any) -> Iterator[str]:
    """The words in the arguments of a program that is started, those of a shell's command too."""
    if isinstance(arguments, (str, bytes, os.PathLike)):
        yield from re.split(r"[\s'\"();|&<>=]+", os.fsdecode(arguments))
    elif isinstance(arguments, (list, tuple)):
        for argument in arguments:
            yield from _words(argument)


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
