"""Set-up decides rightly what to install, knows when there is nothing to do, and starts over after an interruption.

Nothing is downloaded here: commands are recorded instead of run. A set-up from nothing is what CI begins with.
"""

import ast
import json
from pathlib import Path

import pytest

from shared import setup_environment as setup

ROOT = Path(__file__).resolve().parents[3]


class Recorder:
    """Stands in for the commands: remembers them, and answers as a healthy machine would."""

    def __init__(self, wheel_place: str = "") -> None:
        self.commands: list[tuple[str, dict[str, str]]] = []
        self.wheel_place = wheel_place
        self.fails_at = ""

    def run(self, command: list[object], **environment: str) -> str:
        line = " ".join(map(str, command))
        self.commands.append((line, environment))
        if self.fails_at and self.fails_at in line:
            raise setup.SetupError("this failed")
        return "2.13.0"

    def attempt(self, command: list[object], **environment: str) -> str | None:
        line = " ".join(map(str, command))
        if "version_info" in line:
            return "3 12" if str(setup.PYTHON) not in line or setup.PYTHON.exists() else None
        if "venv --clear" in line:
            setup.PYTHON.parent.mkdir(parents=True, exist_ok=True)
            setup.PYTHON.touch()
            self.commands.append((line, environment))
            return ""
        if "config list" in line:
            return f":env:.find-links='/nowhere {self.wheel_place}'\nglobal.timeout='5'\n"
        if "--dry-run" in line:
            return "" if environment["UV_FIND_LINKS"] == self.wheel_place else None
        return "uv 0.99.0" if "--version" in line else ""

    def lines(self) -> str:
        return "\n".join(line for line, _ in self.commands)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A checkout of its own, in a folder with a space, on a Linux machine without a GPU."""
    root = tmp_path / "a checkout"
    (root / "shared").mkdir(parents=True)
    (root / "build").mkdir()
    for name in ("uv.lock", "pyproject.toml", "shared/setup_environment.py"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    recorder = Recorder(wheel_place="/wheels")
    for name, path in {
        "ROOT": root,
        "VENV": root / ".venv",
        "PYTHON": root / ".venv/bin/python",
        "STAMP": root / ".venv/setup-stamp.json",
        "RUNNING": root / "build/setup-running",
    }.items():
        monkeypatch.setattr(setup, name, path)
    monkeypatch.setattr(setup, "run", recorder.run)
    monkeypatch.setattr(setup, "attempt", recorder.attempt)
    monkeypatch.setattr(setup.shutil, "which", lambda name: name)
    monkeypatch.setattr(setup.Path, "exists", lambda path: path.is_file() or path.name == "uv")
    monkeypatch.setattr(setup.platform, "system", lambda: "Linux")
    for name in ("PYTHON", "TORCH", "EXTRAS"):
        monkeypatch.delenv(name, raising=False)
    return recorder


def test_second_set_up_does_nothing(machine: Recorder) -> None:
    assert setup.set_up()
    machine.commands.clear()
    assert not setup.set_up()
    assert machine.commands == []


@pytest.mark.parametrize("changed", ["uv.lock", "pyproject.toml"])
def test_changed_lock_or_project_is_installed_again(machine: Recorder, changed: str) -> None:
    setup.set_up()
    path = setup.ROOT / changed
    path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    assert setup.set_up()


def test_without_gpu_torch_comes_from_pips_find_links_when_it_is_there(machine: Recorder) -> None:
    setup.set_up()
    assert "--prune torch" in machine.lines()
    assert "--no-index --no-deps torch==" in machine.lines()
    assert "--torch-backend" not in machine.lines()
    assert {"UV_FIND_LINKS": "/wheels"} in [environment for _, environment in machine.commands]


def test_without_gpu_and_find_links_torch_is_the_cpu_backends(machine: Recorder) -> None:
    machine.wheel_place = ""
    setup.set_up()
    assert "--torch-backend=cpu torch==" in machine.lines()


@pytest.mark.parametrize(("system", "asked"), [("Linux", "gpu"), ("Darwin", "")])
def test_gpu_and_macos_take_the_lock_as_it_is(
    machine: Recorder, monkeypatch: pytest.MonkeyPatch, system: str, asked: str
) -> None:
    monkeypatch.setattr(setup.platform, "system", lambda: system)
    monkeypatch.setenv("TORCH", asked)
    setup.set_up()
    assert "uv sync --frozen --inexact" in machine.lines()
    assert "--prune" not in machine.lines()


def test_interrupted_set_up_leaves_no_stamp_and_starts_over(machine: Recorder) -> None:
    setup.set_up()
    (setup.ROOT / "uv.lock").write_text(
        (setup.ROOT / "uv.lock").read_text(encoding="utf-8") + "\n", encoding="utf-8"
    )
    machine.fails_at = "--constraints"
    with pytest.raises(setup.SetupError):
        setup.set_up()
    assert not setup.STAMP.is_file()
    assert setup.RUNNING.is_file()
    machine.fails_at = ""
    machine.commands.clear()
    assert setup.set_up()
    assert "venv --clear" in machine.commands[0][0]
    assert not setup.RUNNING.is_file()
    assert not setup.set_up()


def test_extras_once_asked_for_stay(machine: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTRAS", "hf")
    setup.set_up()
    assert "--extra hf" in machine.lines()
    monkeypatch.delenv("EXTRAS")
    assert not setup.set_up()
    monkeypatch.setenv("EXTRAS", "logs")
    assert setup.set_up()
    assert json.loads(setup.STAMP.read_text(encoding="utf-8"))["extras"] == ["hf", "logs"]


def test_unknown_extra_and_torch_are_named(machine: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTRAS", "gf")
    with pytest.raises(setup.SetupError, match=r"gf.*hf, logs"):
        setup.set_up()
    monkeypatch.setenv("TORCH", "tpu")
    with pytest.raises(setup.SetupError, match="tpu"):
        setup.set_up()


def test_too_old_python_is_named_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", "python3")
    monkeypatch.setattr(setup, "version_of", lambda name: [3, 9])
    with pytest.raises(setup.SetupError, match=r"python3 is 3\.9"):
        setup.find_python()


def test_lock_pins_torch_at_the_version_of_the_project_file() -> None:
    assert f'"torch=={setup.locked_torch_version()}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_script_needs_nothing_but_an_old_python() -> None:
    tree = ast.parse(
        (ROOT / "shared/setup_environment.py").read_text(encoding="utf-8"), feature_version=(3, 9)
    )
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imports <= set(setup.sys.stdlib_module_names)
