"""Many submissions: each entry of the folder is in the table, and none costs another its grade."""

import csv
import json
import zipfile

import pytest

from shared.errors import ConfigError
from tests.harness.grade_all import main, named
from tests.system.fake_stage import GOOD, write_workspace


def write_zip(path, text):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("homework/adapters.py", text)


def test_every_entry_has_a_row(tmp_path, capsys):
    workspace, submissions, out = write_workspace(tmp_path / "root"), tmp_path / "in", tmp_path / "out"
    submissions.mkdir()
    (submissions / "alice.py").write_text(GOOD)
    write_zip(submissions / "alice.zip", GOOD.replace("x + x", "x"))
    (submissions / "dave.PY").write_text(GOOD)
    write_zip(submissions / "frank.Zip", GOOD)
    for name in ("bob.tar.gz", "erin.ipynb"):
        (submissions / name).write_bytes(b"{}")
    write_zip(submissions / "carl.zip", GOOD)
    damaged = bytearray((submissions / "carl.zip").read_bytes())
    start = 30 + len("homework/adapters.py")  # where the compressed bytes begin
    damaged[start : start + 8] = b"\xff" * 8
    (submissions / "carl.zip").write_bytes(damaged)

    arguments = ["--root", str(workspace.root), "--submissions", str(submissions), "--out", str(out)]
    assert main([*arguments, "--jobs", "2"]) == 2
    printed = capsys.readouterr().out
    rows = list(csv.DictReader((out / "grades.csv").read_text().splitlines()))
    found = {row["submission"]: (row["points"], row["status"]) for row in rows}
    assert found == {
        "alice.py": ("5", "graded"),
        "alice.zip": ("2", "graded"),
        "bob.tar.gz": ("0", "error"),
        "carl": ("0", "error"),
        "dave": ("5", "graded"),
        "erin.ipynb": ("0", "error"),
        "frank": ("5", "graded"),
    }
    for name, (points, status) in found.items():
        results = json.loads((out / name / "results.json").read_text())
        assert status == "error" or results["score"] == float(points)
    said = {row["submission"]: row["review"] for row in rows}
    for name in ("bob.tar.gz", "erin.ipynb"):
        assert "wanted a folder, a .py file or a .zip file" in said[name]
        assert said[name] in printed
    assert "carl.zip: error" in said["carl"]  # zlib.error, which no list of exceptions thought of
    assert "7 submissions, 3 without a verdict" in printed


def test_entries_never_share_a_name(tmp_path):
    for name in ("a.py", "a.zip", "a.py.zip", "B.py", "b.zip", "c.zip"):
        (tmp_path / name).touch()
    (tmp_path / "c").mkdir()
    (tmp_path / "d.py").touch()
    found = named(tmp_path.iterdir())
    assert all(path.name == name for name, path in found.items() if name != "d")
    assert found["d"].name == "d.py"
    assert sorted(found.values()) == sorted(tmp_path.iterdir())


def test_a_folder_without_submissions_is_refused(tmp_path):
    workspace = write_workspace(tmp_path / "root")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").touch()
    with pytest.raises(ConfigError, match="holds no submission"):
        main(["--root", str(workspace.root), "--submissions", str(tmp_path / "in")])
