"""What every plain `pytest` run gets: shapes checked at call time, and the `adapters` that graded tests see.

`pytest tests/a1_basics --impl PATH` runs the graded tests in this process, without the grader's isolation:
quick, with a debugger at hand, and no verdict. The verdict is `make grade`.
"""

import importlib.util
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

from shared.doors.exercise import STAGES
from shared.doors.load import load
from tests.harness.launches import interpret_without_gpu

interpret_without_gpu()
ROOT = Path(__file__).resolve().parents[1]
CHECKED = [
    "a1_basics.model",
    "a1_basics.training",
    "a2_systems.kernels.attend",
    "a2_systems.kernels.flash_tiled",
    "a2_systems.kernels.linear_cross_entropy",
    "a2_systems.kernels.rms_norm",
    "a2_systems.kernels.visibility",
    "a2_systems.measure",
    "a2_systems.parallel",
    "shared.accounting",
]
"""Packages whose shape annotations are checked; numba and Triton could not compile the wrapped functions."""


# The same examples in every run, and no limit in seconds: a loaded machine is no failure. To look further afield:
# pytest --hypothesis-profile=explore
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("impl", "implementation behind the doors", default="reference")
    parser.addoption("--impl", help="reference, learner, a dotted package, or a path (default: reference)")


def pytest_configure(config: pytest.Config) -> None:
    present = [name for name in CHECKED if importlib.util.find_spec(name.split(".")[0]) is not None]
    install_import_hook(present, "beartype.beartype")


@pytest.fixture(scope="session")
def impl(request: pytest.FixtureRequest) -> str:
    """Which implementation stands behind the doors in this run."""
    return request.config.getoption("--impl") or request.config.getini("impl")


@pytest.fixture(scope="session")
def _doors() -> dict[str, object]:
    return {}


@pytest.fixture
def adapters(request: pytest.FixtureRequest, impl: str, _doors: dict[str, object]) -> object:
    """The door of the stage whose folder the test lies in: all that a graded test may touch."""
    stage = Path(str(request.path)).parent.name
    if stage not in STAGES:
        raise LookupError(f"the adapters fixture serves tests/<stage>/, not {request.path}")
    if stage not in _doors:
        _doors[stage] = load(stage, impl)
    return _doors[stage]
