"""A tiny workspace in a temporary folder, with one small stage, for tests of the grader itself."""

from pathlib import Path

from tests.harness.workspace import Workspace

EXERCISES = """
from shared.doors.exercise import Exercise

EXERCISES = (
    Exercise(
        id="double",
        title="Twice as much",
        points=3,
        door=("run_double",),
        hints=("add it to itself", "x + x"),
        why="all that follows counts on it",
        forbidden=("torch.mul", "torch.nn.Bilinear"),
        time_limit_seconds=20.0,
        memory_limit_bytes=1_200_000_000,
    ),
    Exercise(id="greet", title="Say hello", points=2, door=("run_greet",), prerequisites=("double",)),
    Exercise(id="essay", title="Tell why", points=1, kind="written"),
)
"""

PROTOCOLS = '''
from typing import Protocol

from torch import Tensor


class BasicsDoor(Protocol):
    def run_double(self, x: Tensor) -> Tensor: ...

    def run_greet(self, name: str, loud: bool = False) -> str:
        """A greeting."""
        ...

    def build_model(self, config: int) -> Tensor: ...
'''

TEST_DOUBLE = '''
import pytest
import torch

from tests.harness.explain import expect_close


@pytest.mark.parametrize("value", [0.0, 1.5, -2.0])
def test_doubles(adapters, value):
    x = torch.tensor([value, 1.0])
    expect_close(adapters.run_double(x), [2 * value, 2.0], what="x + x", why="that is doubling", atol=0.0)


def test_oracle_may_use_what_is_forbidden(adapters):
    """The library's product agrees."""
    x = torch.tensor([3.0])
    assert torch.equal(adapters.run_double(x), torch.mul(x, 2))
'''

TEST_GREET = '''
from tests.harness.explain import expect_equal


def test_greets(adapters):
    """Says hello by name."""
    expect_equal(adapters.run_greet("Ada"), "hello Ada", what="hello and the name", why="manners")
'''

REFERENCE = '''
"""The door."""

from a1_basics.inside import double


def run_double(x):
    return double(x)


def run_greet(name, loud=False):
    return f"hello {name}"


def build_model(config):
    """A hook that is no exercise, long enough that a byte-for-byte copy of this file is worth noticing at all."""
    return double(config)
'''

GOOD = """
def run_double(x):
    return x + x


def run_greet(name, loud=False):
    return "hello " + name
"""


def write_workspace(root: Path) -> Workspace:
    """Write the workspace; the learner's folder is not made."""
    files = {
        "a1_basics/__init__.py": "",
        "a1_basics/exercises.py": EXERCISES,
        "a1_basics/adapters.py": REFERENCE,
        "a1_basics/inside.py": "def double(x):\n    total = x\n    total = total + x\n    return total\n",
        "a1_basics/HANDOUT.md": "# Two problems\n",
        "a1_basics/run/__init__.py": "",
        "a1_basics/run/through_the_door.py": "from a1_basics.run import words\n\nprint(words)\n",
        "a1_basics/run/words.py": "WORDS = ('a', 'b')\n",
        "a1_basics/run/study.py": "from a1_basics.inside import double\n\nprint(double(1))\n",
        "a1_basics/run/study_twice.py": "from a1_basics.run.study import double\n\nprint(double)\n",
        "shared/doors/protocols.py": PROTOCOLS,
        "tests/a1_basics/test_double.py": TEST_DOUBLE,
        "tests/a1_basics/test_greet.py": TEST_GREET,
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    return Workspace(root)


def write_learner(workspace: Workspace, text: str, name: str = "adapters.py") -> Path:
    """Write a file of the learner's."""
    path = workspace.learner / "a1_basics" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
