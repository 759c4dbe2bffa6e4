"""`make doctor` tells a healthy machine from one that needs a mend, and names the mend."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from shared import doctor

Usage = namedtuple("Usage", "total used free")


def test_test_data_folder_is_unset_wrong_or_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LM_TEST_DATA", raising=False)
    assert doctor.check_test_data().state == "not checked"
    monkeypatch.setenv("LM_TEST_DATA", str(tmp_path / "absent"))
    assert doctor.check_test_data().state == "warn"
    (tmp_path / "one").mkdir()
    monkeypatch.setenv("LM_TEST_DATA", str(tmp_path))
    assert doctor.check_test_data().detail == "1 entries"


@pytest.mark.parametrize(("free_gb", "state"), [(1, "missing"), (10, "warn"), (100, "ok")])
def test_disk_space_has_three_answers(monkeypatch: pytest.MonkeyPatch, free_gb: int, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free_gb * 10**9))
    assert doctor.check_disk().state == state


def test_strayed_package_is_named_with_both_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text('name = "pytest"\nversion = "0.0.1"\n', encoding="utf-8")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    finding = doctor.check_packages()
    assert finding.state == "warn"
    assert f"pytest {pytest.__version__} (locked: 0.0.1)" in finding.detail
    assert "make setup" in finding.mend


def test_other_torch_than_the_locked_one_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "locked_version", lambda package: "0.0.1")
    torch, _threads = doctor.check_torch()
    assert torch.state == "warn"
    assert "0.0.1" in torch.detail


def test_absent_program_names_its_mend() -> None:
    finding = doctor.check_program("nothing", ("no-such-program",), "it is for tests", "apt install nothing")
    assert (finding.state, finding.mend) == ("warn", "apt install nothing")


def test_half_a_slurm_client_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor.check_slurm().state == "not checked"
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "srun" else name)
    assert doctor.check_slurm().detail == "lacks srun"


def test_check_that_breaks_is_a_finding() -> None:
    def check_broken() -> doctor.Finding:
        raise OSError("no such device")

    (finding,) = doctor.several(check_broken)
    assert (finding.state, finding.subject) == ("missing", "broken")
    assert "no such device" in finding.detail
