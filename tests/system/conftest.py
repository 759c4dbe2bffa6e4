"""What tests of whole programs share."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from shared.runs.program import run_program


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str]]:
    """Run one of the test module's PROGRAMS (module -> presets) in a folder of its own: its status and its stderr."""
    programs = request.module.PROGRAMS
    monkeypatch.chdir(tmp_path)

    def run_one(program: ModuleType, *flags: object) -> tuple[int, str]:
        capsys.readouterr()
        status = run_program(program.main, programs[program], argv=[str(flag) for flag in flags])
        return status, capsys.readouterr().err

    return run_one
