"""A short slice of `make torture`, and proof that it can fail: what saves badly is caught.

`make torture` takes thirty kills of every long program, and the surroundings too.
"""

import errno
import os
import random
import signal
from pathlib import Path

import pytest

from tests.system.torture import __main__ as front
from tests.system.torture import kills, programs, surroundings
from tests.system.torture.faults import Fault, tear
from tests.system.torture.kills import Ground, Verdict
from tests.system.torture.programs import Program
from tests.system.torture.trial import forked

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="not checked: this platform cannot fork")


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torture")
    front.warm_up()
    (folder / "prepared").mkdir()
    programs.prepare(folder / "prepared")
    ground = Ground(folder, seed=0)
    for name in ("train_lm", "encode"):
        ground.wholes[name] = kills.undisturbed(ground, name)
    return ground


@pytest.mark.parametrize("number", range(4))
def test_a_killed_training_given_again_is_the_same_to_the_bit(ground, number):
    verdict = kills.kill_trial(ground, "train_lm", number)
    assert verdict.killed == 1
    assert verdict.differs == [], verdict.what


@pytest.mark.parametrize("number", [0, 2])
def test_a_killed_encoding_given_again_is_the_same_to_the_bit(ground, number):
    verdict = kills.kill_trial(ground, "encode", number)
    assert verdict.killed == 1
    assert verdict.differs == [], verdict.what


def test_an_encoding_killed_once_it_has_published_leaves_no_unfinished_files(ground):
    folder = ground.fresh(programs.PROGRAMS["encode"], "late")
    at = ground.wholes["encode"].ended.operations - 5  # while it removes the ids of its tasks
    assert forked(programs.run_encode, folder, fault=Fault("kill", at)).was_killed
    assert any((folder / "runs").iterdir())
    assert kills.finished(ground, "encode", folder) == []


@pytest.mark.parametrize("row", ["disk full", "read-only store", "signal storms", "clock jumps"])
def test_a_surrounding_goes_by_without_a_trace(ground, row):
    verdict = surroundings.SURROUNDINGS[row].trial(ground, row, 1)  # of encode
    assert verdict.differs == [], verdict.what


@pytest.mark.parametrize("case", [surroundings.lost_name, surroundings.lost_store])
def test_pointers_to_nowhere_are_named(ground, case):
    folder = ground.fresh(programs.PROGRAMS["train_lm"], case.__name__)
    assert case(ground, folder, random.Random(0)) == []


PARTS = 40


def write_in_place(folder: Path) -> int:
    """A program that saves badly: its file is there before it is whole, and what is there is believed."""
    target = folder / "runs" / "result.json"
    target.parent.mkdir(exist_ok=True)
    if not target.exists():
        with target.open("w") as file:
            for part in range(PARTS):
                (folder / f"part-{part}").touch()  # a moment between two writes
                file.write(f"{part}\n")
                file.flush()
            os.fsync(file.fileno())
    (folder / "runs" / f"{target.stat().st_size} bytes").touch()
    return 0


def write_beside(folder: Path) -> int:
    """The same, saved well."""
    target = folder / "runs" / "result.json"
    target.parent.mkdir(exist_ok=True)
    if not target.exists():
        with (folder / "draft").open("w") as file:
            for part in range(PARTS):
                (folder / f"part-{part}").touch()
                file.write(f"{part}\n")
                file.flush()
            os.fsync(file.fileno())
        (folder / "draft").rename(target)
    (folder / "runs" / f"{target.stat().st_size} bytes").touch()
    return 0


@pytest.mark.parametrize(("command", "is_caught"), [(write_in_place, True), (write_beside, False)])
def test_a_save_that_is_not_atomic_is_caught(tmp_path, monkeypatch, command, is_caught):
    monkeypatch.setitem(programs.PROGRAMS, "saver", Program("saver", command, needs_prepared=False))
    ground = Ground(tmp_path, seed=3)
    ground.wholes["saver"] = kills.undisturbed(ground, "saver")
    verdicts = [kills.kill_trial(ground, "saver", number) for number in range(6)]
    assert [verdict.killed for verdict in verdicts] == [1] * 6, (
        "half of them end sooner than their timer at first"
    )
    assert any(verdict.differs for verdict in verdicts) == is_caught


def test_an_operation_is_a_moment_that_can_be_repeated(tmp_path):
    whole = forked(write_beside, tmp_path)
    assert whole.operations > PARTS
    for at in (PARTS // 2, PARTS // 2, whole.operations - 1):
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        assert forked(write_beside, tmp_path, fault=Fault("kill", at)).status == -signal.SIGKILL
        assert len([*tmp_path.glob("part-*")]) == min(at - 2, PARTS)  # the folder and the draft came first


def test_a_full_disk_and_a_closed_one_are_what_the_system_would_say(tmp_path):
    def work(_: Path) -> int:
        try:
            (tmp_path / "file").write_text("x")
        except OSError as error:
            return error.errno or 0
        return 0

    assert forked(work, tmp_path, fault=Fault("full")).status == errno.ENOSPC
    assert forked(work, tmp_path, fault=Fault("read-only")).status == errno.EROFS
    assert forked(work, tmp_path).status == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_torn_file_keeps_what_was_safe(tmp_path, seed):
    path, content = tmp_path / "file", random.Random(seed).randbytes(1000)
    path.write_bytes(content)
    assert not tear(path, 1000, random.Random(seed))
    assert path.read_bytes() == content
    assert tear(path, 400, random.Random(seed))
    assert path.read_bytes()[:400] == content[:400]
    assert path.read_bytes() != content


def test_the_table_counts_what_differs_and_what_was_not_checked(tmp_path):
    verdicts = [
        Verdict("train_lm", killed=1, seconds=1),
        Verdict("train_lm", killed=1, differs=["log differs"], seconds=2),
        Verdict("no git", not_checked="a reason"),
    ]
    table = front.table_of(["train_lm", "no git"], verdicts)
    rows = [[*column.cells] for column in table.columns]
    assert rows == [
        ["train_lm", "no git"], ["2", "0"], ["2", "0"], ["[red]1[/red]", "0"], ["3", "0"], ["", "a reason"],
    ]  # fmt: skip


def test_a_row_that_is_not_there_finds_its_neighbour(capsys):
    assert front.main(["--only", "train_ml"]) == 2
    assert "did you mean 'train_lm'" in capsys.readouterr().err
