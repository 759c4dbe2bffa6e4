"""How real graders failed: each case here must come out as an error or a failure, and never as a pass."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.harness.grading import Grader
from tests.harness.outcomes import Outcome, ProblemGrade, StageGrade
from tests.system.fake_stage import GOOD, write_learner, write_workspace

STAGE = "a1_basics"
GREET = '\n\ndef run_greet(name, loud=False):\n    return "hello " + name\n'


@pytest.fixture(scope="module")
def grader(tmp_path_factory):
    workspace = write_workspace(tmp_path_factory.mktemp("workspace"))
    with Grader(workspace, jobs=1) as warm:
        yield warm


@pytest.fixture(autouse=True)
def _clean(grader):
    yield
    shutil.rmtree(grader.workspace.learner, ignore_errors=True)


def graded(grader: Grader, text: str, problem: str | None = "double") -> dict[str, ProblemGrade]:
    write_learner(grader.workspace, text)
    return by_id(grader.grade(STAGE, "learner", problem))


def by_id(grade: StageGrade) -> dict[str, ProblemGrade]:
    return {problem.id: problem for problem in grade.problems}


def double(body: str, before: str = "") -> str:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
    return f"{before}\n\ndef run_double(x):\n{lines}\n{GREET}"


def test_correct_work_passes(grader):
    found = graded(grader, GOOD, None)
    assert [str(p.outcome) for p in found.values()] == ["passed", "passed", "not checked"]
    assert [p.earned for p in found.values()] == [3, 2, 0]


def test_wrong_work_fails_and_is_explained(grader):
    found = graded(grader, double("print('x is', x)\nreturn x + 1"))["double"]
    assert found.outcome is Outcome.FAILED
    assert found.earned == 0
    assert found.failure is not None
    assert (found.failure.what, found.failure.why) == ("x + x", "that is doubling")
    assert "got 1, wanted 0" in found.failure.counterexample
    printed = {test.id.rpartition("::")[2]: test.output for test in found.tests}
    assert printed["test_doubles[0.0]"].startswith("x is tensor")


def test_an_exception_is_placed_in_the_learners_code(grader):
    found = graded(grader, double("y = x\nreturn y.no_such_thing"))["double"]
    assert found.failure is not None
    assert found.failure.place.endswith("in run_double: return y.no_such_thing")
    assert "AttributeError" in found.failure.counterexample


# The grader ran the reference instead of the learner's code.

BORROWED_SILENTLY = {
    "import": "from a1_basics.adapters import run_double",
    "inside": "def run_double(x):\n    from a1_basics.inside import double\n    return double(x)",
    "importlib": "import importlib\nrun_double = importlib.import_module('a1_basics.adapters').run_double",
    "swallowed": "try:\n    from a1_basics.inside import double as run_double\nexcept ImportError:\n"
    "    def run_double(x):\n        return x + x",
}

BORROWED_SILENTLY |= {
    "guard removed": "import sys\nsys.meta_path.pop(0)\nfrom a1_basics.inside import double as run_double",
}


@pytest.mark.parametrize("way", BORROWED_SILENTLY)
def test_reference_behind_the_door_is_an_error(grader, way):
    found = graded(grader, BORROWED_SILENTLY[way] + GREET)["double"]
    assert found.outcome is Outcome.ERROR
    assert ("tampering" if way == "guard removed" else "reference") in found.message


READING = {
    "a path": "file = open(PATH)",
    "bytes": "file = open(os.fsencode(PATH))",
    "a detour": "file = open(os.path.dirname(PATH) + '/../' + os.path.basename(os.path.dirname(PATH)) + '/inside.py')",
    "relative": "file = open(os.path.relpath(PATH))",
    "a descriptor": "file = os.fdopen(os.open(os.fsencode(PATH), os.O_RDONLY))",
    "a folder's descriptor": "folder = os.open(os.path.dirname(PATH), os.O_RDONLY)\n"
    "file = os.fdopen(os.open('inside.py', os.O_RDONLY, dir_fd=folder))",
    "a descriptor of what is above": "folder = os.open(os.path.dirname(PATH) + '/..', os.O_RDONLY)\n"
    "file = os.fdopen(os.open(os.path.basename(os.path.dirname(PATH)) + '/inside.py', os.O_RDONLY, dir_fd=folder))",
    "cleared": "import sys\nfile = open(PATH)\n"
    "for finder in sys.meta_path:\n    getattr(finder, 'reference', []).clear()",
    "a link": "os.symlink(PATH, 'mine.txt')\nfile = open('mine.txt')",
    "a hard link": "os.link(PATH, os.path.join(os.path.dirname(PATH), '..', 'mine.txt'))\n"
    "file = open(os.path.join(os.path.dirname(PATH), '..', 'mine.txt'))",
    "a program": "file = os.popen('cat ' + PATH)",
    "a shell": "file = os.popen('cd ' + os.path.dirname(PATH) + '; cat inside.py')",
    "compiled": "import io, marshal, types\n"
    "CACHE = os.path.join(os.path.dirname(PATH), '__pycache__', 'inside.cpython.pyc')\n"
    "data = open(CACHE, 'rb').read()\nfile = io.StringIO(data.decode())",
}


@pytest.mark.parametrize("way", READING)
def test_reading_the_references_source_is_an_error(grader, way):
    inside = grader.workspace.root / STAGE / "inside.py"
    cache = inside.parent / "__pycache__" / "inside.cpython.pyc"
    cache.parent.mkdir(exist_ok=True)
    cache.write_text(inside.read_text())
    text = f"import os\nPATH = {str(inside)!r}\nspace = {{}}\n{READING[way]}\n"
    found = graded(grader, text + "exec(file.read(), space)\nrun_double = space['double']\n" + GREET)[
        "double"
    ]
    cache.unlink()
    (grader.workspace.root / "mine.txt").unlink(missing_ok=True)
    assert found.outcome is Outcome.ERROR, found.message
    assert "reference" in found.message


def test_copied_reference_is_an_error(grader):
    text = (grader.workspace.root / STAGE / "adapters.py").read_text()
    assert graded(grader, text)["double"].outcome is Outcome.ERROR


def test_link_to_the_reference_is_an_error(grader):
    path = write_learner(grader.workspace, "")
    path.unlink()
    path.symlink_to(grader.workspace.root / STAGE / "adapters.py")
    assert by_id(grader.grade(STAGE, "learner", "double"))["double"].outcome is Outcome.ERROR


def test_path_to_the_reference_is_an_error(grader):
    found = by_id(grader.grade(STAGE, str(grader.workspace.root / STAGE / "adapters.py"), "double"))
    assert found["double"].outcome is Outcome.ERROR


# Test files matched by no pattern, so that 0 failed meant complete; all skipped counted as passed.


@pytest.fixture
def changed_test(grader):
    path = grader.workspace.test_file(STAGE, "double")
    kept = path.read_text()
    yield path
    path.write_text(kept)


def test_missing_test_file_is_an_error(grader, changed_test):
    changed_test.rename(changed_test.with_name("double_test.py"))
    found = graded(grader, GOOD, None)
    changed_test.with_name("double_test.py").unlink()
    assert found["double"].outcome is Outcome.ERROR
    assert "no test was collected" in found["double"].message
    assert found["greet"].outcome is Outcome.PASSED


@pytest.fixture
def further_test(grader):
    path = grader.workspace.test_file(STAGE, "double").with_name("test_double_further.py")
    yield path
    path.unlink()


def test_every_file_of_a_problem_counts(grader, further_test):
    further_test.write_text("def test_ten(adapters):\n    assert adapters.run_double(5) == 10\n")
    found = graded(grader, GOOD)["double"]
    assert found.outcome is Outcome.PASSED, found.message
    assert len(found.tests) == 5
    assert graded(grader, double("return 10 if x == 5 else x"))["double"].outcome is Outcome.FAILED
    further_test.write_text("def test_ten(adapters):\n    assert adapters.run_double(5) == 11\n")
    assert graded(grader, GOOD)["double"].outcome is Outcome.FAILED


@pytest.mark.parametrize("text", ["", "import no_such_module\n"])
def test_a_further_file_that_checks_nothing_is_an_error(grader, further_test, text):
    further_test.write_text(text)
    assert graded(grader, GOOD)["double"].outcome is Outcome.ERROR


def test_further_files_do_not_stand_for_the_first(grader, changed_test, further_test):
    further_test.write_text("def test_ten(adapters):\n    assert adapters.run_double(5) == 10\n")
    changed_test.unlink()
    assert graded(grader, GOOD)["double"].outcome is Outcome.ERROR


@pytest.mark.parametrize(
    "text", ["", "def check_doubles(adapters):\n    assert False\n", "import no_such_module\n"]
)
def test_nothing_collected_is_an_error(grader, changed_test, text):
    changed_test.write_text(text)
    assert graded(grader, GOOD)["double"].outcome is Outcome.ERROR


def test_expected_failure_marks_are_an_error(grader, changed_test):
    mark = (
        "import pytest\n\n@pytest.mark.xfail\ndef test_x(adapters):\n    assert adapters.run_double(1) == 3\n"
    )
    changed_test.write_text(mark)
    assert graded(grader, GOOD)["double"].outcome is Outcome.ERROR


def test_tests_that_this_machine_cannot_run_are_not_checked(grader, changed_test):
    mark = (
        "import pytest\n\n@pytest.mark.skipif(True, reason='needs a GPU')\ndef test_x(adapters):\n    pass\n"
    )
    changed_test.write_text(mark)
    found = graded(grader, GOOD)["double"]
    assert (found.outcome, found.earned) == (Outcome.NOT_CHECKED, 0)
    assert "needs a GPU" in found.message


def test_skipping_from_learner_code_is_an_error(grader):
    found = graded(grader, double("import pytest\npytest.skip('not today')"))["double"]
    assert found.outcome is Outcome.ERROR
    assert "skipped" in found.message


def test_ending_the_session_from_learner_code_is_an_error(grader):
    for body in ("import pytest\npytest.exit('done', returncode=0)", "raise KeyboardInterrupt"):
        assert graded(grader, double(body))["double"].outcome is Outcome.ERROR


# Empty work passed.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def run_double(x):\n    pass\n",
        "def run_double(x):\n    '''To do.'''\n    raise NotImplementedError\n",
        "def work(x):\n    raise NotImplementedError\n\n\ndef run_double(x):\n    return work(x)\n",
    ],
)
def test_empty_work_is_not_started(grader, text):
    found = graded(grader, text)["double"]
    assert (found.outcome, found.earned) == (Outcome.NOT_STARTED, 0)


def test_returning_nothing_fails(grader):
    assert graded(grader, double("return None"))["double"].outcome is Outcome.FAILED


# Import errors, crashes, early exits, no output.

BROKEN = {
    "syntax": "def run_double(x:\n",
    "import": "import no_such_package\n\n\ndef run_double(x):\n    return x + x\n",
    "exit at import": "import sys\n\nsys.exit(0)\n\n\ndef run_double(x):\n    return x + x\n",
    "hard exit at import": "import os\n\nos._exit(0)\n\n\ndef run_double(x):\n    return x + x\n",
    "hard exit": double("import os\nos._exit(0)"),
    "segmentation fault": double("import ctypes\nctypes.string_at(0)"),
    "killed": double("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
    "kills its parent": double("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nreturn x + x"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_run_that_breaks_off_is_an_error(grader, way):
    found = graded(grader, BROKEN[way])["double"]
    assert found.outcome is Outcome.ERROR, found.message
    assert found.message


def test_a_run_that_breaks_off_tells_its_last_words(grader):
    found = graded(grader, "import os\n\nprint('no licence found', flush=True)\nos._exit(3)\n" + GOOD)[
        "double"
    ]
    assert found.message.endswith("(exit status 3) before all was reported; its last words: no licence found")


def test_the_grader_goes_on_after_a_crash(grader):
    found = graded(grader, double("import os\nos._exit(0)"), None)
    assert found["double"].outcome is Outcome.ERROR
    assert found["greet"].outcome is Outcome.PASSED


# Timeouts were swallowed and every score became 0; wall-clock limits flaked.


def quick(grader: Grader, **limits: float) -> Grader:
    """The same warm grader with tighter limits."""
    return replace(grader, **limits)


def test_endless_loop_fails_and_the_others_keep_their_points(grader):
    swallow = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    try:\n        pass\n"
    )
    text = double(swallow + "    except BaseException:\n        pass")
    write_learner(grader.workspace, text)
    found = by_id(quick(grader, time_limit_factor=0.1).grade(STAGE, "learner"))
    assert found["double"].outcome is Outcome.FAILED
    assert "test_doubles[0.0]" in found["double"].message
    assert found["greet"].outcome is Outcome.PASSED


def test_waiting_for_ever_fails(grader):
    write_learner(grader.workspace, double("import threading\nthreading.Event().wait()"))
    found = by_id(quick(grader, time_limit_factor=0.1).grade(STAGE, "learner", "double"))
    assert found["double"].outcome is Outcome.FAILED


def test_processes_left_behind_are_ended(grader, tmp_path):
    note = tmp_path / "pid"
    leave = (
        "import os, signal\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "    signal.pause()\n"
        "return x + x"
    )
    found = graded(grader, double(leave))["double"]
    assert found.outcome is Outcome.PASSED
    pid = int(note.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_forked_copy_that_returns_reports_nothing(grader):
    assert graded(grader, double("import os\nos.fork()\nreturn x + x"))["double"].outcome is Outcome.PASSED


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_learner_code_may_use_processes_of_its_own(grader, method):
    helper = "def twice(x):\n    return x + x\n"
    write_learner(grader.workspace, helper, "work.py")
    body = (
        "import multiprocessing\nfrom learner.a1_basics.work import twice\n"
        f"with multiprocessing.get_context({method!r}).Pool(1) as pool:\n"
        "    return torch.tensor(pool.map(twice, x.tolist()))"
    )
    found = graded(grader, double(body, "import torch"))["double"]
    assert found.outcome is Outcome.PASSED, found
    assert any("names 'spawn'" in place for place in found.review) == (method == "spawn")


# Memory and output.


def test_memory_limit_counts_the_process(grader):
    found = graded(
        grader, double("kept = bytearray(2_000_000_000)\nkept[::4096] = b'x' * len(kept[::4096])\nreturn x")
    )
    assert found["double"].outcome is Outcome.FAILED
    assert "GiB" in found["double"].message


def test_memory_limit_counts_child_processes(grader):
    body = (
        "import subprocess, sys\n"
        "code = 'import signal; kept = bytearray(2_000_000_000); '\n"
        "code += 'kept[::4096] = bytes(len(kept[::4096])); '\n"
        "code += 'signal.pause()'\n"
        "subprocess.run([sys.executable, '-c', code])\n"
        "return x + x"
    )
    found = graded(grader, double(body))["double"]
    assert found.outcome is Outcome.FAILED
    assert "GiB" in found.message


def test_output_flood_is_an_error(grader):
    found = graded(grader, double("while True:\n    print('x' * 100_000)"))["double"]
    assert found.outcome is Outcome.ERROR
    assert "printed" in found.message


# The grader trusted the graded: comparisons, reports, records.

TAMPERING = {
    "explain": "import sys\nsys.modules['tests.harness.explain'].expect_close = lambda *a, **k: None",
    "allclose": "import torch\ntorch.allclose = lambda *a, **k: True",
    "equal": "import torch\ntorch.equal = lambda *a, **k: True",
    "numpy": "import numpy\nnumpy.asarray = lambda *a, **k: numpy.zeros(2)",
    "reports": "from _pytest import reports\n"
    "reports.TestReport.from_item_and_call = classmethod(lambda cls, item, call: cls(item.nodeid, item.location, {},\n"
    "    'passed', None, call.when, [], 0.0, 0.0, 0.0))",
    "runner": "import _pytest.runner\n_pytest.runner.pytest_runtest_call = lambda item: None",
    "builtins": "import builtins\nbuiltins.isinstance = lambda *a: True",
    "pipe": "import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, b'{}\\n')\n"
    "    except OSError:\n        pass",
}


# From a frame, or from a module that keeps pytest's configuration, the whole run lies open.

FORGE = """
def forge(config):
    reporter = next(p for p in config.pluginmanager.get_plugins() if hasattr(p, "pytest_runtest_makereport")
        and "child" in getattr(p.pytest_runtest_makereport, "__module__", ""))
    send = getattr(reporter, "send", None)

    def forged(event, **fields):
        if event == "result" and "canar" not in fields["test"]:
            fields.update(outcome="passed", lesson=None, phase="call")
        send(event, **fields)

    if send is not None:
        reporter.send = forged
    for item in config.pluginmanager.getplugin("session").items:
        if "canaries" not in str(item.path):
            item.runtest = lambda item=item: item.__dict__.pop("runtest") and None
"""
TAMPERING |= {
    "a traceback's frame": FORGE + "\n\ndef tamper():\n    try:\n        raise ValueError\n"
    "    except ValueError as e:\n        frame = getattr(e.__traceback__, 'tb_' + 'frame')\n"
    "    while frame is not None:\n        if 'item' in frame.f_locals:\n"
    "            forge(frame.f_locals['item'].config)\n            return\n        frame = frame.f_back\n",
    "a frame by inspect": FORGE
    + "\n\ndef tamper():\n    import inspect\n    frame = inspect.currentframe()\n"
    "    while frame is not None and 'item' not in frame.f_locals:\n        frame = frame.f_back\n"
    "    forge(frame.f_locals['item'].config)\n",
    "a generator's frame": "def tamper():\n    def steps():\n        yield\n    assert steps().gi_frame\n",
    "all objects": FORGE + "\n\ndef tamper():\n    import gc\n    from _pytest.config import Config\n"
    "    forge(next(o for o in gc.get_objects() if isinstance(o, Config)))\n",
    "pytest's own modules": FORGE + "\n\ndef tamper():\n    import sys\n"
    "    forge(sys.modules['_pytest.assertion.util']._config)\n",
}
TESTS = """
def its_globals():
    import sys
    items = sys.modules['_pytest.assertion.util']._config.pluginmanager.getplugin("session").items
    return next(i for i in items if "doubles" in i.name).function.__globals__
"""
LAID_OVER = {
    "a library of explain": "its_globals()['expect_close'].__globals__['np'] = None",
    "code of explain": "f = its_globals()['expect_close']\n"
    "    f.__code__ = (lambda got, want, *, what, why, atol, rtol=0.0, case='': None).__code__",
    "a builtin of explain": "its_globals()['expect_close'].__globals__['max'] = lambda *a: 0",
    "a module of the test": "its_globals()['torch'] = None",
}
TAMPERING |= {way: f"{TESTS}\n\ndef tamper():\n    {line}\n" for way, line in LAID_OVER.items()}


def test_an_attribute_that_leads_to_the_grader_is_worth_reading(grader):
    body = "try:\n    raise ValueError\nexcept ValueError as e:\n    frame = e.__traceback__.tb_frame.f_back"
    found = graded(grader, double(body + "\nreturn x + x"))["double"]
    assert found.outcome is Outcome.ERROR
    assert "tb_frame" in found.message
    for name in ("__traceback__", "tb_frame", "f_back"):
        assert any(name in place for place in found.review), found.review


def test_honest_code_that_takes_frames_through_a_library_passes(grader):
    body = (
        "import collections, logging, traceback\n"
        "Pair = collections.namedtuple('Pair', 'a b')\n"
        "logging.warning('%s', Pair(1, 2))\n"
        "traceback.print_stack()\n"
        "try:\n    raise ValueError\nexcept ValueError:\n    traceback.print_exc()\n"
        "return x + x"
    )
    found = graded(grader, double(body))["double"]
    assert found.outcome is Outcome.PASSED, found.message


@pytest.mark.parametrize("way", TAMPERING)
def test_tampering_is_an_error(grader, way):
    body = "tamper()\nreturn x + 1" if "def tamper" in TAMPERING[way] else "return x + 1"
    found = graded(grader, double(body, TAMPERING[way]))["double"]
    assert found.outcome is Outcome.ERROR, (found.outcome, found.message)


@pytest.mark.parametrize("when", ["at import", "in a call"])
def test_rewriting_the_tests_is_an_error(grader, changed_test, when):
    easy = "def test_doubles(adapters):\n    pass\n"
    write = f"open({str(changed_test)!r}, 'w').write({easy!r})"
    text = double("return x", write) if when == "at import" else double(f"{write}\nreturn x")
    assert graded(grader, text)["double"].outcome is Outcome.ERROR


@pytest.mark.parametrize("path", ["harness/__pycache__/planted.pyc", "system/planted.py"])
@pytest.mark.parametrize("encoded", [False, True])
def test_writing_beside_the_tests_is_an_error(grader, path, encoded):
    planted = Path(__file__).parents[1] / path
    planted.parent.mkdir(exist_ok=True)
    name = os.fsencode(planted) if encoded else str(planted)
    try:
        found = graded(grader, double("return x + x", f"open({name!r}, 'w').close()"))["double"]
    finally:
        planted.unlink(missing_ok=True)
    assert found.outcome is Outcome.ERROR, found.message


@pytest.mark.parametrize("where", ["at import", "in a call", "in a thread"])
def test_reading_the_tests_is_forbidden(grader, where):
    """An oracle is a solution."""
    read = f"open({os.fsencode(grader.workspace.test_file(STAGE, 'double'))!r}).read()"
    text = {
        "at import": double("return x + x", read),
        "in a call": double(f"{read}\nreturn x + x"),
        "in a thread": double(
            "from concurrent.futures import ThreadPoolExecutor\n"
            f"ThreadPoolExecutor(1).submit(open, {str(grader.workspace.test_file(STAGE, 'double'))!r}).result()\n"
            "return x + x"
        ),
    }[where]
    found = graded(grader, text)["double"]
    assert found.outcome is Outcome.FORBIDDEN, found.message
    assert "reads test_double.py" in found.message


def test_modules_of_sys_under_another_name_are_worth_reading(grader):
    found = graded(grader, "from sys import modules as m\n" + GOOD)["double"]
    assert any("sys.modules" in place for place in found.review), found.review


def test_tampering_with_the_tests_functions_is_an_error(grader):
    patch = (
        "import sys\nfor name, module in list(sys.modules.items()):\n    if 'test_double' in name:\n"
        "        module.expect_close = lambda *a, **k: None"
    )
    assert graded(grader, double("return x + 1", patch))["double"].outcome is Outcome.ERROR


def test_tampering_while_a_test_runs_is_an_error(grader):
    body = "import sys\nsys.modules['tests.harness.explain'].expect_close = lambda *a, **k: None\nreturn x"
    assert graded(grader, double(body))["double"].outcome is Outcome.ERROR


def test_an_object_equal_to_everything_fails(grader):
    lie = "class Yes:\n    def __eq__(self, other):\n        return True\n    __hash__ = None\n"
    found = graded(
        grader,
        lie + "\n\ndef run_double(x):\n    return Yes()\n\n\ndef run_greet(name):\n    return Yes()\n",
        None,
    )
    assert found["double"].outcome is Outcome.FAILED
    assert found["greet"].outcome is Outcome.FAILED


def test_comparison_needs_a_tolerance():
    from tests.harness.explain import expect_close

    with pytest.raises(TypeError, match="atol"):
        expect_close([1.0], [1.005], what="", why="")  # type: ignore[call-arg]


# Forbidden calls and imports.

FORBIDDEN = {
    "call": double("import torch\nreturn torch.mul(x, 2)"),
    "bound at import": double("return mul(x, 2)", "from torch import mul"),
    "method": double("return x.mul(2)"),
    "swallowed": double(
        "import torch\ntry:\n    return torch.mul(x, 2)\nexcept Exception:\n    return x + x"
    ),
    "handed over": double("import torch\nreturn list(map(torch.mul, [x], [2]))[0]"),
    "given away": "import torch\nrun_double = torch.mul" + GREET,
    "given away bound": "import functools\nimport torch\nrun_double = functools.partial(torch.mul, other=2)"
    + GREET,
    "in a thread": double(
        "with ThreadPoolExecutor(1) as pool:\n    return pool.submit(torch.mul, x, 2).result()",
        "import torch\nfrom concurrent.futures import ThreadPoolExecutor",
    ),
    "as a thread": double(
        "found = [x + x]\nthread = threading.Thread(target=torch.mul, args=(x, 2), kwargs={'out': found[0]})\n"
        "thread.start()\nthread.join()\nreturn found[0]",
        "import threading\nimport torch\nthreading.excepthook = lambda _: None",
    ),
    "a method": "import operator\nrun_double = operator.methodcaller('mul', 2)" + GREET,
    "a callable": "import functools\nimport torch\n\n\nclass Doubling:\n"
    "    __call__ = staticmethod(functools.partial(torch.mul, other=2))\n\n\nrun_double = Doubling()" + GREET,
    "a module": "import torch\n\n\nclass Doubling(torch.nn.Module):\n    forward = staticmethod(torch.mul)\n\n\n"
    "run_double = Doubling()" + GREET,
    "a module that comes back": double(
        "return torch.nn.Sequential(Doubling())",
        "import torch\n\n\nclass Doubling(torch.nn.Module):\n    forward = staticmethod(torch.mul)",
    ),
    "a class that comes back": double(
        "return Doubling",
        "import torch\n\n\nclass Doubling(torch.nn.Module):\n    forward = torch.nn.Bilinear.forward",
    ),
    "a library that calls it": "import functools\nimport torch\n"
    "run_double = functools.partial(functools.reduce, torch.mul)" + GREET,
    "tests": double("from tests.harness import explain\nreturn x + x"),
    "tests by name": double(
        "import importlib\nimportlib.import_module('tests.harness.explain')\nreturn x + x"
    ),
}


IN_MODULES = {
    "a function": "sys.modules['tests.harness.explain'].expect_close",
    "all names": "vars(sys.modules['tests.harness.explain'])",
    "by its package": "sys.modules['tests'].harness",
    "the tests": "next(m for n, m in sys.modules.items() if n.endswith('test_double')).torch",
    "in a string": "exec('sys.modules[\"tests.harness.explain\"].math')",
    "swallowed": "getattr(sys.modules['tests.harness.explain'], 'math', None)",
}
FORBIDDEN |= {
    f"tests in sys.modules: {way}": double(
        f"try:\n    {line}\nexcept BaseException:\n    pass\nreturn x + x", "import sys"
    )
    for way, line in IN_MODULES.items()
}


def test_what_is_drawn_later_is_forbidden_too(grader, further_test):
    further_test.write_text(
        "def test_two(adapters):\n    assert len(list(adapters.run_double((1, 2)))) == 2\n"
    )
    text = double("return map(torch.mul, torch.ones(2), torch.ones(2))", "import torch")
    assert graded(grader, text)["double"].outcome is Outcome.FORBIDDEN


def test_listing_all_modules_is_no_reach_into_the_tests(grader):
    body = "names = {getattr(m, '__name__', n) for n, m in sys.modules.items() if isinstance(m, ModuleType)}"
    found = graded(
        grader, double(f"{body}\nreturn x + x if names else x", "import sys\nfrom types import ModuleType")
    )
    assert found["double"].outcome is Outcome.PASSED, found["double"].message


@pytest.mark.parametrize("way", FORBIDDEN)
def test_forbidden(grader, way):
    found = graded(grader, FORBIDDEN[way])["double"]
    assert (found.outcome, found.earned) == (Outcome.FORBIDDEN, 0), found.message


def test_own_module_through_a_helper_is_forbidden_too(grader):
    write_learner(
        grader.workspace, "import torch\n\n\ndef times(a, b):\n    return torch.mul(a, b)\n", "helper.py"
    )
    found = graded(grader, double("from learner.a1_basics.helper import times\nreturn times(x, 2)"))["double"]
    assert found.outcome is Outcome.FORBIDDEN
    assert "helper.py" in found.message


# A fixed port, an absolute path: the suite ran on one machine only.


def test_public_style_repository_is_graded_where_it_lies(grader, tmp_path):
    repository = tmp_path / "someone's repository"
    for name, text in {
        "pyproject.toml": "[project]\nname = 'solution'\n",
        "solution/__init__.py": "",
        "solution/maths.py": "def twice(x):\n    return x + x\n",
        "tests/common.py": "WORD = 'hello'\n",
        "tests/adapters.py": "from solution.maths import twice\n\nfrom .common import WORD\n\n\n"
        "def run_double(x):\n    return twice(x)\n\n\ndef run_greet(name):\n    return f'{WORD} {name}'\n",
    }.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = by_id(grader.grade(STAGE, str(repository)))
    assert [str(p.outcome) for p in found.values()] == ["passed", "passed", "not checked"]
    (repository / "tests" / "adapters.py").write_text(
        "from tests.common import WORD\nfrom tests.harness.explain import expect\n\n\n"
        "def run_double(x):\n    return x + x\n"
    )
    assert by_id(grader.grade(STAGE, str(repository), "double"))["double"].outcome is Outcome.FORBIDDEN


@pytest.mark.parametrize(
    "impl", ["mine.py", "./mine.py", "folder", "folder/adapters.py", "package", "package.mine"]
)
def test_an_implementation_is_found_from_where_the_grader_was_called(grader, tmp_path, monkeypatch, impl):
    """The process that runs it works in a folder of its own, without the caller's PYTHONPATH."""
    for name in ("mine.py", "folder/adapters.py", "packages/package/adapters.py", "packages/package/mine.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    found = by_id(grader.grade(STAGE, impl, "double"))["double"]
    assert found.outcome is Outcome.PASSED, found.message


def test_grader_has_no_absolute_path():
    for path in Path(__file__).parents[1].joinpath("harness").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for home in (Path.home(), Path(sys.prefix), Path(__file__).parents[2]):
            assert str(home) not in text
