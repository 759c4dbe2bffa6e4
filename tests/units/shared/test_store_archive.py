"""Artifacts travel in one file, hostile files are refused, and the command line says what it does."""

import hashlib
import io
import json
import re
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import ArtifactError
from shared.store.archive import export_archive, import_archive
from shared.store.artifacts import Artifact, Store
from shared.store.cli import main

Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], list[tuple[tarfile.TarInfo, bytes]]]


def make(store: Store, number: int, name: str | None = None, **parents: str) -> Artifact:
    with store.draft("EvalReport", config={"number": number}, parents=parents, name=name) as draft:
        (draft.path / "report.json").write_text(f'{{"number": {number}}}')
        (draft.path / "measured").mkdir()
        (draft.path / "measured" / "time.json").write_text("1")
    return draft.artifact


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """first <- second <- third, and first <- third; the second has no name."""
    store = Store(tmp_path / "here")
    first = make(store, 1, "first")
    second = make(store, 2, None, model=first.digest)
    make(store, 3, "third", model=second.digest, base=first.digest)
    make(store, 4, "unrelated")
    return store


@pytest.fixture
def archive(store: Store, tmp_path: Path) -> Path:
    export_archive(store, store.open("third"), tmp_path / "third.tar")
    return tmp_path / "third.tar"


def rewritten(archive: Path, change: Change) -> Path:
    with tarfile.open(archive) as tar:
        entries = [(member, file.read()) for member in tar if (file := tar.extractfile(member))]
    out = archive.with_name("changed.tar")
    with tarfile.open(out, "w") as tar:
        for member, content in change(entries):
            tar.addfile(member, io.BytesIO(content) if content else None)
    return out


def added(name: str, content: bytes = b"x", **fields) -> Change:
    def change(entries: list) -> list:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for field, value in fields.items():
            setattr(member, field, value)
        return [*entries, (member, content)]

    return change


def test_export_and_import_bring_the_lineage_and_the_names(store, archive, tmp_path):
    there = Store(tmp_path / "there")
    done = import_archive(there, archive)
    assert done.artifact == store.open("third")
    assert done.artifact.name_hint == "third"
    assert {artifact.config["number"] for artifact in there.list()} == {1, 2, 3}
    assert there.lineage(there.open("third")) == store.lineage(store.open("third"))
    assert there.names("EvalReport").keys() == {"first", "third"}
    assert done.artifact.file("measured/time.json").read_text() == "1"
    assert done.artifact.file("report.json").stat().st_mode & 0o222 == 0
    assert import_archive(there, archive).artifact == done.artifact  # twice changes nothing
    assert len(there.list()) == 3
    assert [*there.drafts.iterdir()] == []


def test_export_is_reproducible(store, archive, tmp_path):
    export_archive(store, store.open("third"), tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()


def test_names_that_mean_something_else_are_not_taken(store, archive, tmp_path):
    there = Store(tmp_path / "there")
    mine = make(there, 9, "first")
    make(there, 8, "third")
    with pytest.raises(ArtifactError, match=r"'third' already points at another EvalReport.*--name=NAME"):
        import_archive(there, archive)
    assert len(there.list()) == 2
    done = import_archive(there, archive, "theirs")
    assert done.names_kept == ["first"]
    assert there.open("theirs").config["number"] == 3
    assert there.open("first") == mine


@pytest.mark.parametrize(
    "change",
    [
        added("../escaped"),
        added("/tmp/escaped"),
        added("EvalReport/../../escaped"),
        added("EvalReport/" + "a" * 64 + "/../../escaped"),
        added("EvalReport/" + "a" * 64 + "/./x"),
        added("EvalReport\\" + "a" * 64 + "\\x"),
        added("EvalReport/" + "a" * 64),
        added("EvalReport/short/x"),
        added("names/EvalReport/evil.json"),
        added(".drafts/x"),
        added("Unknown/" + "a" * 64 + "/x"),
        added("EvalReport/" + "a" * 64 + "/x"),
        added("EvalReport/" + "a" * 64 + "/x", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        added("EvalReport/" + "a" * 64 + "/x", b"", type=tarfile.LNKTYPE, linkname="export.json"),
        added("EvalReport/" + "a" * 64 + "/x", b"", type=tarfile.FIFOTYPE),
        added("EvalReport/" + "a" * 64 + "/x", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        added("EvalReport/" + "a" * 64, b"", type=tarfile.DIRTYPE),
        lambda entries: [*entries, entries[1]],
        lambda entries: entries[1:],
        lambda entries: entries[:1],
        lambda entries: [entry for entry in entries if "measured" not in entry[0].name],
        lambda entries: [entry for entry in entries if "manifest" not in entry[0].name],
    ],
)
def test_hostile_and_incomplete_archives_are_refused(archive, tmp_path, change):
    there = Store(tmp_path / "there")
    bad = rewritten(archive, change)
    with pytest.raises(ArtifactError, match=re.escape(str(bad))) as caught:
        import_archive(there, bad)
    assert "Nothing was imported" in str(caught.value)
    assert there.list() == []
    assert there.names("EvalReport") == {}
    assert [*there.drafts.iterdir()] == []
    assert not (tmp_path / "escaped").exists()
    assert not Path("/tmp/escaped").exists()


def test_every_flipped_byte_of_content_is_found(archive, tmp_path):
    raw = archive.read_bytes()
    with tarfile.open(archive) as tar:
        places = [(member.offset_data, member.name) for member in tar if not member.name.startswith("export")]
    assert len(places) == 9
    for place, name in places:
        bad = archive.with_name("flipped.tar")
        bad.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(ArtifactError, match=re.escape(name)):
            import_archive(Store(tmp_path / "there"), bad)
    assert Store(tmp_path / "there").list() == []


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
def test_truncated_archives_are_refused(archive, tmp_path, fraction):
    raw = archive.read_bytes().rstrip(b"\0")
    bad = archive.with_name("short.tar")
    bad.write_bytes(raw[: int(len(raw) * fraction)])
    with pytest.raises(ArtifactError, match=r"short\.tar"):
        import_archive(Store(tmp_path / "there"), bad)
    assert Store(tmp_path / "there").list() == []


def test_a_huge_claimed_size_is_refused_before_anything_is_written(archive, tmp_path):
    member = tarfile.TarInfo("EvalReport/" + "a" * 64 + "/x")
    member.size = 1 << 50
    bad = archive.with_name("huge.tar")
    raw = archive.read_bytes().rstrip(b"\0")
    raw += b"\0" * (-len(raw) % 512)
    bad.write_bytes(raw + member.tobuf(tarfile.GNU_FORMAT) + b"x" * 512)
    with pytest.raises(ArtifactError, match=r"huge\.tar"):
        import_archive(Store(tmp_path / "there"), bad)


def test_a_sparse_entry_is_refused(archive, tmp_path):
    def change(entries: list) -> list:
        member = tarfile.TarInfo("EvalReport/" + "a" * 64 + "/x")
        member.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": str(1 << 45),
        }
        content = b"1\n0\n0\n".ljust(512, b"\0")
        member.size = len(content)
        return [*entries, (member, content)]

    with pytest.raises(ArtifactError, match="no plain file"):
        import_archive(Store(tmp_path / "there"), rewritten(archive, change))


def test_a_consistent_forgery_cannot_write_outside(tmp_path, archive):
    """A manifest with a right digest of its own that lists a path outside its folder."""
    covered = {"kind": "EvalReport", "schema": 1, "config": {}, "parents": {}}
    content = b"{}"
    covered["files"] = {"../../../escaped": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": 2}}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    manifest = json.dumps(covered | {"digest": digest, "origin": {}}).encode()
    index = json.dumps({"format": 1, "kind": "EvalReport", "digest": digest, "names": {}}).encode()

    def forge(_: list) -> list:
        rows = [("export.json", index), (f"EvalReport/{digest}/manifest.json", manifest)]
        entries = []
        for name, text in [*rows, (f"EvalReport/{digest}/../../../escaped", content)]:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            entries.append((member, text))
        return entries

    with pytest.raises(ArtifactError, match="outside"):
        import_archive(Store(tmp_path / "there"), rewritten(archive, forge))
    with pytest.raises(ArtifactError, match="differ from their manifest"):
        import_archive(Store(tmp_path / "there"), rewritten(archive, lambda entries: forge(entries)[:-1]))


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"format": 2, "kind": "EvalReport", "digest": "x", "names": {}}',
        b'{"format": 1, "kind": [], "digest": "x", "names": {}}',
        b'{"format": 1, "kind": "EvalReport", "digest": "x", "names": []}',
    ],
)
def test_a_damaged_index_is_refused(archive, tmp_path, index):
    def change(entries: list) -> list:
        member = entries[0][0]
        member.size = len(index)
        return [(member, index), *entries[1:]]

    with pytest.raises(ArtifactError, match="Nothing was imported"):
        import_archive(Store(tmp_path / "there"), rewritten(archive, change))


def test_a_damaged_artifact_is_not_exported(store, tmp_path):
    path = store.open("first").file("report.json")
    path.chmod(0o644)
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"report\.json"):
        export_archive(store, store.open("third"), tmp_path / "out.tar")
    assert not [*tmp_path.glob("*out.tar*")]


# --- command line ---


def run(capsys: pytest.CaptureFixture[str], store: Store, *arguments: object) -> tuple[int, str, str]:
    code = main(["--store", str(store.root), *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_cli_list_show_and_errors(store, capsys):
    code, out, _ = run(capsys, store, "list")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["first", "-", "third", "unrelated"]
    assert run(capsys, store, "list", "Corpus")[1].startswith(f"{store.root} holds no Corpus yet")
    code, out, _ = run(capsys, store, "show", "EvalReport/third", "--verify")
    assert code == 0
    assert '"number": 3' in out
    assert "whole" in out
    code, _, err = run(capsys, store, "show", "thrid")
    assert code == 2
    assert err.startswith("error: no artifact called 'thrid'")
    assert "third" in err


def test_cli_lineage_as_text_and_picture(store, capsys, tmp_path):
    code, out, _ = run(capsys, store, "lineage", "third", "--svg", tmp_path / "third.svg")
    assert code == 0
    assert [line.split(": ")[0].strip("│├└─ ") for line in out.splitlines()[1:4]] == [
        "base",
        "model",
        "model",
    ]
    root = ElementTree.parse(tmp_path / "third.svg").getroot()
    words = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"first", "third", "(no name)", "EVAL REPORT", "base", "model"} <= words
    boxes = [element for element in root.iter() if element.tag.endswith("}g")]
    assert len(boxes) == 3


def test_cli_gc_export_import(store, capsys, tmp_path):
    make(store, 5)
    code, out, _ = run(capsys, store, "gc")
    assert "1 to remove" in out
    assert "--delete" in out
    code, out, _ = run(capsys, store, "gc", "--delete")
    assert code == 0
    assert "removed 1" in out
    assert "nothing to remove" in run(capsys, store, "gc")[1]
    assert run(capsys, store, "export", "third", tmp_path / "out.tar")[0] == 0
    there = Store(tmp_path / "there")
    code, out, _ = run(capsys, there, "import", tmp_path / "out.tar", "--name", "theirs")
    assert code == 0
    assert out.count("EvalReport") == 3
    assert there.open("theirs").config["number"] == 3
    assert run(capsys, there, "import", tmp_path / "none.tar")[0] == 2
    assert run(capsys, there, "export", "theirs", tmp_path / "no" / "out.tar")[0] == 2
