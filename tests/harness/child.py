"""Inside the forked process: load one implementation, run one problem's tests on it, and send a record of each.

Nothing here decides: it reports. The verdict is formed by `judge` in another process, from these records and from
a list of tests collected without the implementation.
"""

import functools
import importlib
import importlib.util
import inspect
import linecache
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import GeneratorType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from _pytest.outcomes import OutcomeException
from _pytest.skipping import evaluate_skip_marks

from shared.doors.load import WORKSPACE, Source, load_source, locate
from tests.harness import explain, ranks
from tests.harness.guard import ForbiddenImport, ImportGuard, reference_files
from tests.harness.records import Recorder
from tests.harness.seals import Seals
from tests.harness.traps import ForbiddenCall, Traps

MAX_TEXT = 4000
CANARY_FILE = Path(__file__).with_name("canaries.py")


def main(job: dict[str, Any], record_fd: int) -> None:
    """Do the job and end the process: at-exit handlers of the implementation do not run."""
    key = bytes.fromhex(job.pop("key"))
    recorder = Recorder(record_fd, key)
    root = Path(job["root"])
    os.chdir(job["cwd"])
    os.environ["TMPDIR"] = job["cwd"]
    os.environ["OMP_NUM_THREADS"] = str(job["threads"])
    torch.set_num_threads(job["threads"])
    sys.dont_write_bytecode = True  # two saves within a second leave a stale cache, and watch would grade it
    here = {"", os.getcwd(), str(WORKSPACE)}
    sys.path[:] = [*dict.fromkeys([str(root), str(WORKSPACE)]), *[p for p in sys.path if p not in here]]
    try:
        if job["op"] == "collect":
            _collect(job, root, recorder)
        else:
            _run(job, root, recorder)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _pytest_arguments(root: Path) -> list[str]:
    # The tree's own configuration and conftest files stay out: what is graded must not set how it is graded.
    return [
        "--noconftest",
        f"--rootdir={root}",
        f"--config-file={Path(__file__).with_name('pytest.ini')}",
        "--import-mode=importlib",
        "--capture=no",
        "-p",
        "no:cacheprovider",
        "-q",
        "--no-header",
        "--tb=no",
    ]


def _identity(item: pytest.Item, root: Path) -> str:
    """A test's id, relative to the tree; canaries are told apart by their file."""
    path = Path(item.path).resolve()
    home = "canaries" if path == CANARY_FILE else str(path.relative_to(root.resolve()))
    return f"{home}::{item.nodeid.split('::', 1)[1]}"


class Collector:
    """A pytest plugin that lists tests and which of them this machine must skip, and runs none."""

    def __init__(self, root: Path) -> None:
        self.root, self.tests, self.errors = root, [], []
        self.tests: list[dict[str, Any]]
        self.errors: list[dict[str, Any]]

    @pytest.fixture(scope="session")
    def adapters(self) -> None:
        """Present, so that tests collect."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            skipped = evaluate_skip_marks(item)
            xfail = item.get_closest_marker("xfail") is not None
            self.tests.append(
                {
                    "id": _identity(item, self.root),
                    "file": str(item.path),
                    "skip": skipped.reason if skipped else None,
                    "xfail": xfail,
                }
            )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            text = str(report.longrepr)[-MAX_TEXT:]
            self.errors.append({"file": report.nodeid, "text": text, "skipped": report.skipped})


def _collect(job: dict[str, Any], root: Path, recorder: Recorder) -> None:
    collector = Collector(root)
    status = pytest.main([*_pytest_arguments(root), "--collect-only", *job["files"]], plugins=[collector])
    recorder.send("collected", tests=collector.tests, errors=collector.errors, status=int(status))


class Door:
    """What the `adapters` fixture gives: the implementation's functions, their results checked for trapped names."""

    def __init__(self, module: Any, source: Source, traps: Traps) -> None:
        self._module, self._source, self._traps = module, source, traps

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not hasattr(self._module, name):
            raise AttributeError(
                f"IMPL={self._source.impl} has no {name}; `make learn STAGE={self._source.stage}` adds the stubs that "
                "are missing"
            )
        value = getattr(self._module, name)
        taken = self._traps.name_of(value)
        if taken:
            self._traps.refuse(taken, (getattr(self._module, "__file__", ""), 0))
        return self._checked(value) if callable(value) and not isinstance(value, type) else value

    def _checked(self, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            taken = self._traps.name_of(result) if callable(result) else ""
            if taken:
                code = getattr(function, "__code__", None)
                self._traps.refuse(taken, (code.co_filename, code.co_firstlineno) if code else None)
            if isinstance(result, Iterator) and not isinstance(result, GeneratorType):
                return drawn(result)
            return result

        def drawn(results: Iterator[Any]) -> Iterator[Any]:
            yield from results  # from behind the border: a `map` of the learner's has no line of its own

        self._traps.borders |= {id(call.__code__), id(drawn.__code__)}
        return functools.wraps(function, updated=())(call)


def reporter(
    load: Callable[[pytest.Session], Door | None],
    look: Callable[[], None],
    source: Source,
    root: Path,
    recorder: Recorder,
    marker: str,
) -> ModuleType:
    """The pytest plugin of a graded run: the `adapters` fixture, and a record for each test.

    What it sends, and with what, is in closures: the plugin is within learner code's reach, and has no attribute that
    would change a record. `look` is called before each test, to see whether it is still the one that was collected.
    """
    send = recorder.send
    door: Door | None = None
    phases: dict[str, list[tuple[str, str, dict[str, str] | None, float]]] = {}

    @pytest.fixture
    def adapters() -> Door | None:
        """The door of the stage under grading, every test starting from the same random state."""
        seed_everything()
        return door

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(session: pytest.Session) -> bool | None:
        """Import the implementation once all tests are in memory: it cannot rewrite the files they come from."""
        nonlocal door
        door = load(session)
        return True if door is None else None

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        order = {item: 2 * ("[" in item.name and "after" in item.name) - 1 for item in items}
        items.sort(key=lambda item: order[item] if Path(item.path) == CANARY_FILE else 0)
        send("selected", tests=[_identity(item, root) for item in items])

    def pytest_collectreport(report: pytest.CollectReport) -> None:
        if report.failed:
            send("collect_error", file=report.nodeid, text=str(report.longrepr)[-MAX_TEXT:])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(item: pytest.Item) -> Any:
        look()
        identity = _identity(item, root)
        phases[identity] = []
        sys.stdout.flush()
        os.write(1, f"\n{marker} {identity}\n".encode())
        send("start", test=identity)
        yield
        went = phases.pop(identity)
        bad = next((phase for phase in went if phase[1] != "passed"), None)
        names = [phase[0] for phase in went]
        outcome = bad[1] if bad else "passed" if names == ["setup", "call", "teardown"] else "incomplete"
        sys.stdout.flush()
        send(
            "result",
            test=identity,
            outcome=outcome,
            phase=bad[0] if bad else "call",
            lesson=bad[2] if bad else None,
            seconds=sum(phase[3] for phase in went),
        )

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
        result = yield
        report = result.get_result()
        lesson = None
        if call.excinfo is not None:
            lesson = _lesson(call.excinfo.value, call.excinfo.traceback, item, source, report)
        outcome = "xfail" if hasattr(report, "wasxfail") else report.outcome
        phases[_identity(item, root)].append((call.when, outcome, lesson, call.duration))

    plugin = ModuleType("graded_run")
    hooks = (
        adapters,
        pytest_runtestloop,
        pytest_collection_modifyitems,
        pytest_collectreport,
        pytest_runtest_protocol,
        pytest_runtest_makereport,
    )
    vars(plugin).update({hook.__name__: hook for hook in hooks})
    return plugin


def seed_everything(seed: int = 0) -> None:
    """Put every global generator at the same place."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - learner code may draw from it
    torch.manual_seed(seed)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 12] + "\n... (cut)"


def _lesson(error: BaseException, trace: Any, item: Any, source: Source, report: Any) -> dict[str, str]:
    """A failure in parts. Only the first differs by kind: what was checked, or what was raised and where."""
    place = _place(error, source)
    doc = inspect.getdoc(getattr(item, "function", None)) or ""
    asked = doc.split("\n\n")[0].replace("\n", " ") or _words(item)
    if isinstance(error, explain.Lesson):
        parts = {
            "what": error.what,
            "why": error.why,
            "counterexample": error.counterexample,
            "case": error.case,
        }
    elif isinstance(error, (ForbiddenCall, ForbiddenImport)):
        parts = {"what": str(error)}
    elif isinstance(error, AssertionError) and not place:
        parts = {"what": asked, "counterexample": _assertion(error, report)}
    elif isinstance(error, OutcomeException):
        parts = {"what": asked, "counterexample": str(error)}
    else:
        case = ""
        notes = "\n".join(getattr(error, "__notes__", []))
        if "Falsifying example" in notes:
            case = notes[notes.index("Falsifying example") :]
        parts = {"what": asked, "counterexample": f"raised {type(error).__name__}: {error}", "case": case}
    return {k: _cut(str(v)) for k, v in {**parts, "place": place, "type": type(error).__name__}.items()}


def _words(item: Any) -> str:
    """test_scores_depend_on_distance_only[5] -> scores depend on distance only (5)."""
    name = item.name.removeprefix("test_")
    base, bracket, rest = name.partition("[")
    return base.replace("_", " ") + (f" ({rest.removesuffix(']')})" if bracket else "")


def _assertion(error: AssertionError, report: Any) -> str:
    text = str(error)
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    return text or (crash.message if crash else "the assertion does not hold")


def _place(error: BaseException, source: Source) -> str:
    """The innermost line of the implementation on the way to an error, as text; empty when it went another way."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if source.owns(frame.filename)]
    if not own:
        return ""
    frame = own[-1]
    path = Path(frame.filename)
    base = source.import_root
    name = path.relative_to(base) if base in path.parents else path.name
    line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return f"{name}:{frame.lineno} in {frame.name}: {line}"


def _run(job: dict[str, Any], root: Path, recorder: Recorder) -> None:
    source = _source(job)
    graded = [root / "tests", WORKSPACE / "tests"]

    def ours(filename: str) -> bool:
        return any(place in Path(filename).parents for place in graded)

    traps = Traps(tuple(job["forbidden"]), source.owns, ours)
    traps.install()

    def frame_taken(what: str, filename: str, line: int) -> None:
        recorder.send("frame", what=what, file=filename, line=line)

    guard = ImportGuard(source, root, frame_taken)
    ranks.RECORDS[:] = [traps.hits, guard.reference, guard.tests, guard.rewritten]
    seals: list[Seals] = []

    def implementation(session: pytest.Session) -> Door | None:
        seals.append(Seals(graded, session))
        if job["guarded"]:
            guard.install()
        try:
            seed_everything()
            module = _implementation(job, source)
        except Exception as error:
            _send_import_error(error, source, recorder)
            return None
        except SystemExit as error:
            _send_import_error(error, source, recorder)
            return None
        functions = {name: getattr(module, name) for name in job["door"] if hasattr(module, name)}
        if job["guarded"]:
            found = reference_files(functions, root / job["stage"], inspect.unwrap)
            if found:
                recorder.send("reference", names=found)
        return Door(module, source, traps)

    def look() -> None:
        seals[0].look_at_session()

    plugin = reporter(implementation, look, source, root, recorder, job["marker"])
    arguments = [*_pytest_arguments(root), str(CANARY_FILE), *job["files"]]
    status = pytest.main(arguments, plugins=[plugin])
    recorder.send("ended", status=int(status))
    recorder.send(
        "finished",
        forbidden=traps.hits,
        reference=guard.reference,
        tests=guard.tests,
        seals=[*(seals[0].broken() if seals else []), *(guard.removed() if job["guarded"] else [])],
    )


def _send_import_error(error: BaseException, source: Source, recorder: Recorder) -> None:
    text = "".join(traceback.format_exception_only(error)).strip()
    recorder.send("import_error", text=_cut(text), place=_place(error, source))


def _source(job: dict[str, Any]) -> Source:
    """What the grader found: this process has another working directory and another path to search."""
    source = Source.unpacked(job["source"])
    if not job.get("overlay"):
        return source
    file = Path(job["overlay"])
    return replace(source, kind="overlay", file=file, module="", own=(*source.own, file))


def _implementation(job: dict[str, Any], source: Source) -> Any:
    if source.kind != "overlay":
        return load_source(source)
    base = load_source(locate(job["stage"], "reference", Path(job["root"])))
    name = f"_overlay_{source.file.stem}"
    spec = importlib.util.spec_from_file_location(name, source.file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source.file} cannot be read as a Python module")
    changed = importlib.util.module_from_spec(spec)
    sys.modules[name] = changed
    spec.loader.exec_module(changed)
    merged = ModuleType(name + "_on_reference")
    merged.__file__ = str(source.file)
    vars(merged).update({k: v for k, v in vars(base).items() if not k.startswith("__")})
    vars(merged).update({k: v for k, v in vars(changed).items() if not k.startswith("_")})
    return merged
