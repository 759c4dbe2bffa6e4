"""Archives: their members become files in one folder, or nothing at all."""

import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from shared.corpora.unpack import unpack
from shared.errors import DataError
from tests.units.shared.archives import tar_of


def tar_with(kind: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    return buffer.getvalue()


def zip_of(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "content", "wanted"),
    [
        ("tar", tar_of(("../escaped", b"x")), "no data set needs"),
        ("tar", tar_of(("/tmp/escaped", b"x")), "no data set needs"),
        ("tar", tar_of(("ok/../../escaped", b"x")), "no data set needs"),
        ("tar", tar_with(tarfile.SYMTYPE), "link or a device"),
        ("tar", tar_with(tarfile.LNKTYPE), "link or a device"),
        ("tar", tar_with(tarfile.CHRTYPE), "link or a device"),
        ("tar", tar_of(("big", bytes(2000))), "unpacks to more than 1 kB"),
        ("tar", tar_of(("a", b"1"), ("a", b"2")), "two members of one name"),
        ("tar", tar_of(("a", random.Random(1).randbytes(900)))[:500], "is damaged"),
        ("tar", b"no archive", "is damaged"),
        ("zip", zip_of(("../escaped", b"x")), "no data set needs"),
        ("zip", zip_of(("big", bytes(2000))), "unpacks to more than 1 kB"),
        ("zip", b"no archive", "is damaged"),
    ],
    ids=lambda value: "archive" if isinstance(value, bytes) else value,  # a gzip's bytes hold the time
)
def test_archives_that_no_data_set_would_be_are_refused_whole(
    tmp_path: Path, kind: str, content: bytes, wanted: str
) -> None:
    archive = tmp_path / "in" / "archive"
    archive.parent.mkdir()
    archive.write_bytes(content)
    with pytest.raises(DataError, match=wanted):
        unpack(archive, kind, tmp_path / "in" / "out", 1000)
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "archive"]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_are_unpacked(tmp_path: Path, kind: str) -> None:
    members = (("./a/b.txt", b"one"), ("__MACOSX/._b.txt", b"?"), ("c.txt", b""))
    (tmp_path / "archive").write_bytes(tar_of(*members) if kind == "tar" else zip_of(*members))
    unpack(tmp_path / "archive", kind, tmp_path / "out", 1000)
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt")}
    assert found == {"a/b.txt", "c.txt"}
    assert (tmp_path / "out" / "a" / "b.txt").read_bytes() == b"one"
