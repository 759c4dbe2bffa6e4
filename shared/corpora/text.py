"""Anybody's text as documents: one UTF-8 file, or every text file under a directory.

A document is a file, or the part of a file up to the marker `<|endoftext|>`. Byte order marks are taken off and line
ends become "\\n" (CRLF and lone CR alike), so that the same text from two editors is the same corpus.
"""

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

from shared.errors import DataError
from shared.store.kinds import DOCUMENT_END

Errors = Literal["strict", "replace"]
Drop = Callable[[str, str], None]
"""`drop(reason, what)` is told of everything that was left out."""

_CHUNK_BYTES = 1 << 20
_END = DOCUMENT_END.encode()
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32LE",
    codecs.BOM_UTF32_BE: "UTF-32BE",
    codecs.BOM_UTF16_LE: "UTF-16LE",
    codecs.BOM_UTF16_BE: "UTF-16BE",
}


def text_documents(path: Path | str, errors: Errors = "strict", drop: Drop | None = None) -> Iterator[str]:
    """The documents of a file or directory in a fixed order (paths sorted); memory grows with the longest document.

    Left out, and told to `drop`: hidden files, files with a zero byte near their start inside a directory (pictures,
    archives), documents of white space alone.

    Raises:
        DataError: no such path; bytes that are not UTF-8 (file and byte offset are named); no text at all.
    """
    root = Path(path)
    if not root.exists():
        raise DataError(
            f"there is no file or directory {str(root)!r}; give the text with --path=FILE_OR_DIRECTORY"
        )
    drop = drop or (lambda reason, what: None)
    num_documents = 0
    for file in text_files(root, drop):
        for text in _file_documents(file, errors):
            if not text or text.isspace():
                drop("blank document", str(file))
                continue
            num_documents += 1
            yield text
    if not num_documents:
        raise DataError(
            f"there is no text in {str(root)!r}: every file is empty, hidden or binary; give another --path"
        )


def text_files(root: Path, drop: Drop) -> list[Path]:
    """The text files under `root`, sorted by path; a file stands for itself."""
    if root.is_file():
        return [root]
    files = []
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        if any(part.startswith(".") for part in file.relative_to(root).parts):
            drop("hidden file", str(file))
            continue
        with file.open("rb") as handle:
            start = handle.read(8192)
        if b"\0" in start and not _other_encoding(start):
            drop("binary file", str(file))
        else:
            files.append(file)
    return files


def _file_documents(file: Path, errors: Errors) -> Iterator[str]:
    with file.open("rb") as handle:
        yield from stream_documents(handle, file, errors)


def stream_documents(handle: IO[bytes], file: Path, errors: Errors = "strict") -> Iterator[str]:
    """The documents of one stream, read in chunks and cut at the marker; `file` is named in errors.

    Raises:
        DataError: bytes that are not UTF-8.
    """
    head = handle.read(4)
    other = _other_encoding(head)
    if other:
        raise DataError(
            f"{file} is {other}, not UTF-8 (it begins with that byte order mark). Convert it first: "
            f"iconv -f {other} -t UTF-8 {file.name} > {file.stem}.utf8{file.suffix}"
        )
    offset = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    waiting = [head[offset:]]  # of the document being read; the last piece may hold half a marker
    while chunk := handle.read(_CHUNK_BYTES):
        *whole, rest = (waiting.pop() + chunk if waiting else chunk).split(_END)
        for piece in whole:
            raw = b"".join((*waiting, piece))
            waiting.clear()
            yield _decode(raw, offset, file, errors)
            offset += len(raw) + len(_END)
        keep = len(_END) - 1
        waiting += [rest[:-keep], rest[-keep:]] if len(rest) > keep else [rest]
    raw = b"".join(waiting)
    if raw:
        yield _decode(raw, offset, file, errors)


def _decode(raw: bytes, offset: int, file: Path, errors: Errors) -> str:
    try:
        text = raw.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        bad = raw[error.start : error.start + 8]
        raise DataError(
            f"{file} is not UTF-8 at byte {offset + error.start} ({bad!r}: {error.reason}). Mend the file, or take "
            "U+FFFD for every such byte with --errors=replace"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _other_encoding(start: bytes) -> str | None:
    return next((name for mark, name in _OTHER_MARKS.items() if start.startswith(mark)), None)
