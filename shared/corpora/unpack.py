"""The members of an archive as files in a folder, when they are what an archive of data should hold.

An archive is somebody else's: a member may name a path outside the folder, be a link or a device, or unpack to far more
than it should. Such an archive is refused whole. The folder appears by a rename when all of it is there.
"""

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from shared.corpora.sources import is_plain_name
from shared.errors import DataError
from shared.runs.progress import progress
from shared.store.disk import readable_bytes, remove_tree, sync_directory, sync_file

MOST_MEMBERS = 100_000
_CHUNK_BYTES = 1 << 20
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error)
_BY_MAC = ("__MACOSX/", "._", ".DS_Store")  # what a Mac adds to an archive: no data


def unpack(archive: Path, kind: str, folder: Path, at_most_bytes: int) -> None:
    """Put the members of a "tar" (packed or not) or "zip" archive into `folder`, which must not exist yet.

    Raises:
        DataError: a member with an unsafe name, a member that is no plain file, more members or bytes than expected,
            two members of one name, an archive that is damaged.
    """
    coming = folder.with_name(folder.name + ".part")
    remove_tree(coming)  # of a process that was killed
    coming.mkdir(parents=True)
    try:
        _unpack_into(coming, archive, kind, at_most_bytes)
        os.rename(coming, folder)
    except (
        *_DAMAGE,
        EOFError,
        RuntimeError,
        NotImplementedError,
    ) as error:  # RuntimeError: zip with a password
        raise DataError(f"{archive} is damaged, or packed in a way that is not read here: {error}") from error
    except FileExistsError as error:
        raise DataError(f"{archive} holds two members of one name: {error.filename}; refused") from error
    finally:
        remove_tree(coming)
    sync_directory(folder.parent)


def _unpack_into(coming: Path, archive: Path, kind: str, at_most_bytes: int) -> None:
    written = 0
    members = progress(_members(archive, kind), f"unpacking {archive.name}", "files")
    for count, (name, file) in enumerate(members):
        if count >= MOST_MEMBERS:
            raise DataError(f"{archive} holds more than {MOST_MEMBERS:,} files: refused")
        place = coming / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as out:
            while chunk := file.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > at_most_bytes:
                    raise DataError(
                        f"{archive} unpacks to more than {readable_bytes(at_most_bytes)}, which is not what the "
                        "catalog expects: refused"
                    )
                out.write(chunk)
        sync_file(place)


def _members(archive: Path, kind: str) -> Iterator[tuple[str, IO[bytes]]]:
    """(name, content) of every plain file."""
    if kind == "zip":
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                mode = member.external_attr >> 16
                is_plain = not mode or (mode & 0o170000) in (0, 0o100000, 0o040000)
                if _is_wanted(archive, member.filename, member.is_dir(), is_plain):
                    with opened.open(member) as file:
                        yield member.filename.removeprefix("./"), file
        return
    with tarfile.open(archive) as opened:
        for member in opened:
            if _is_wanted(archive, member.name, member.isdir(), member.isreg() or member.isdir()):
                file: Any = opened.extractfile(member)
                yield member.name.removeprefix("./"), file


def _is_wanted(archive: Path, name: str, is_directory: bool, is_plain: bool) -> bool:
    plain_name = name.removeprefix("./")
    if is_directory and plain_name in ("", "."):
        return False
    last = plain_name.rsplit("/", 1)[-1]
    if plain_name.startswith(_BY_MAC) or last.startswith(_BY_MAC):
        return False
    if not is_plain_name(plain_name.rstrip("/") if is_directory else plain_name):
        raise DataError(f"{archive} holds a member named {name!r}, which no data set needs: refused")
    if not is_plain:
        raise DataError(f"{archive} holds {name!r}, which is a link or a device, not a file: refused")
    return not is_directory
