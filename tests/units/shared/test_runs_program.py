"""The frame of a program: exit status, what is said, dry runs, and the key by which a step is skipped."""

import errno
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from shared.errors import ArtifactError, ConfigError, DivergenceError, Preempted
from shared.runs.program import readable, run_program
from shared.runs.step_key import source_digest, step_key


@dataclass(frozen=True)
class Config:
    steps: int = 3
    name: str = "base"
    store: Path = Path("artifacts")
    runs: Path = Path("runs")


PRESETS = {"toy": Config()}
ran: list[Config] = []


@pytest.fixture(autouse=True)
def _forget():
    ran.clear()


def main(config: Config) -> None:
    ran.append(config)


def plan(config: Config) -> dict[str, float]:
    return {
        "parameters": 1_234_567,
        "train_flops": 3.3e15,
        "checkpoint_bytes": 2e6,
        "expected_seconds": 140.0,
    }


def test_main_gets_the_config_and_success_is_zero():
    assert run_program(main, PRESETS, argv=["--steps", "7"]) == 0
    assert ran == [Config(steps=7)]


def test_a_status_returned_by_main_is_the_exit_status():
    assert run_program(lambda config: 1, PRESETS, argv=[]) == 1


def failing(error: BaseException):
    def main(config: Config) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("no such thing"), 2, "error: no such thing"),
        (ArtifactError("damaged"), 2, "error: damaged"),
        (DivergenceError("NaN at step 3"), 3, "error: NaN at step 3"),
        (Preempted("saved at step 3"), 75, "saved at step 3"),
        (KeyboardInterrupt(), 130, "the same command"),
        (KeyboardInterrupt("saved at step 4"), 130, "saved at step 4"),
        (OSError(errno.ENOSPC, "full"), 2, "no space left on the disk"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 2, "no space left on the disk"),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
            2,
            "no space left",
        ),
        (OSError(errno.EROFS, "closed", "artifacts/x"), 2, "artifacts/x: the file system is read-only"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_a_status(capsys, error, status, said):
    assert run_program(failing(error), PRESETS, argv=[]) == status
    captured = capsys.readouterr()
    assert captured.err.startswith(said) or said in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_our_own_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_program(failing(ZeroDivisionError()), PRESETS, argv=[])
    with pytest.raises(OSError, match="odd"):
        run_program(failing(OSError(errno.EIO, "odd")), PRESETS, argv=[])


def test_unknown_flag_and_help(capsys):
    assert run_program(main, PRESETS, argv=["--stepz", "3"]) == 2
    assert "did you mean '--steps'?" in capsys.readouterr().err
    assert run_program(main, PRESETS, argv=["--help"], inputs={"shards": "Shards"}, outputs=["RunLog"]) == 0
    said = capsys.readouterr().out
    assert "reads artifacts: Shards" in said
    assert "writes artifacts: RunLog" in said
    assert ran == []


def test_dry_run_prints_config_and_plan_and_runs_nothing(capsys):
    assert run_program(main, PRESETS, argv=["--dry-run", "--steps=41"]) == 0
    said = capsys.readouterr().out
    for words in ("41", "1,234,567", "3.3 PFLOP", "2 MB", "2 min 20 s"):
        assert words in said
    assert ran == []


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("train_flops", 0, "0 FLOP"),
        ("train_flops", 999.0, "999 FLOP"),
        ("train_flops", 1e30, "1e+09 ZFLOP"),
        ("file_bytes", 2048, "2.05 kB"),
        ("wait_seconds", 0.25, "0.25 s"),
        ("wait_seconds", 3 * 3600 + 61.0, "3 h 1 min"),
        ("tokens", 10**6, "1,000,000"),
        ("share_fraction", 0.123456, "0.1235"),
        ("note", "words", "words"),
    ],
)
def test_readable_follows_the_unit(key, value, text):
    assert readable(key, value) == text


def test_a_started_program_knows_its_own_name():
    done = subprocess.run(
        [sys.executable, "-m", "shared.runs.bench", "--onyl=x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "python -m shared.runs.bench --help" in done.stderr
    assert "--only" in done.stderr


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "stage_under_test"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "inner.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return root


def test_a_step_key_depends_on_all_that_decides_the_outcome(package):
    def key(program="p", config=Config(), inputs=("corpus", "d1"), source="stage_under_test"):
        return step_key(program, config, dict([inputs]), [source])

    first = key()
    assert key() == first
    others = {
        key(program="q"),
        key(config=Config(steps=4)),
        key(inputs=("corpus", "d2")),
        key(inputs=("shards", "d1")),
    }
    (package / "inner.py").write_text("x = 2\n")
    others.add(key())
    (package / "inner.py").rename(package / "outer.py")
    others.add(key())
    assert len(others) == 6
    assert first not in others


def test_a_step_key_ignores_where_things_lie_and_what_they_are_called():
    elsewhere = replace(Config(), name="other", store=Path("s"), runs=Path("r"))
    assert step_key("p", Config(), {}, []) == step_key("p", elsewhere, {}, [])


def test_sources_can_be_named_by_path_and_compiled_files_do_not_count(package):
    before = source_digest("stage_under_test")
    assert source_digest(f"{package}/") == before
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "inner.pyc").write_bytes(b"1")
    assert source_digest("stage_under_test") == before


def test_a_package_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no_such_package"):
        source_digest("no_such_package")
