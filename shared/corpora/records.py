"""Documents in the formats that public corpora come in: Parquet, JSON Lines, JSON and text, packed or not.

Read as streams: memory grows with the longest document (for Parquet: with one of its row groups; for a .json file,
which is one value, with the file). What cannot be a document is left out, and told to `drop`.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from shared.corpora.text import Drop, stream_documents
from shared.errors import ConfigError, DataError
from shared.store.kinds import DOCUMENT_END

FORMATS = (".parquet", ".jsonl", ".json", ".txt")
PACKINGS = (".gz", ".zst")
ROWS_AT_ONCE = 256
LONGEST_LINE_BYTES = 256 << 20  # of JSON Lines: longer ones are no records, but a file of another kind


def read_documents(
    files: Iterable[Path], field: str = "text", document_start: str = "", drop: Drop | None = None
) -> Iterator[str]:
    """The documents of files, in order, a record or a marked part of a text each.

    With `document_start`, records (or lines of text) are pieces: a document runs from one that matches to the next.

    Raises:
        DataError: a format that is not read, a damaged file, a record without `field`; file and record are named.
        ConfigError: a package that the format needs is missing; the mend is named.
    """
    drop = drop or (lambda reason, what: None)
    for file in files:
        pieces = _pieces(file, field, is_by_line=bool(document_start))
        documents = _joined(pieces, re.compile(document_start)) if document_start else pieces
        for number, text in enumerate(documents):
            reason = _unfit(text)
            if reason:
                drop(reason, f"{file.name}, document {number}")
            else:
                yield text.replace("\r\n", "\n").replace("\r", "\n")


def records(file: Path, fields: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """The records of a .parquet, .jsonl or .json file, in order; of a Parquet file only the `fields`, when given.

    Raises:
        DataError, ConfigError: as `read_documents`.
    """
    kind, _ = format_of(file)
    try:
        if kind == ".parquet":
            yield from _parquet_records(file, list(fields))
            return
        with open_packed(file) as stream:
            yield from _json_lines(stream, file) if kind == ".jsonl" else _json_list(stream, file)
    except (EOFError, zlib.error, gzip.BadGzipFile, *_zstd_errors()) as error:
        raise DataError(f"{file} is damaged or was cut short: {error}; fetch it again") from error


def record_files(root: Path, drop: Drop) -> list[Path]:
    """The files under `root` that can be read here, sorted by path; a file stands for itself.

    Raises:
        DataError: there is none.
    """
    if root.is_file():
        format_of(root)
        return [root]
    files = []
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        try:
            format_of(file)
        except DataError:
            drop("format that is not read", str(file))
        else:
            files.append(file)
    if not files:
        raise DataError(
            f"there is no file to read in {str(root)!r}: wanted {', '.join(FORMATS)}, or with .gz, .zst"
        )
    return files


def format_of(file: Path) -> tuple[str, str]:
    """(format, packing) by a file's name: (".jsonl", ".zst").

    Raises:
        DataError: it is none of those read here.

    >>> format_of(Path("a.jsonl.zst")), format_of(Path("b.parquet"))
    (('.jsonl', '.zst'), ('.parquet', ''))
    """
    suffixes = [suffix.lower() for suffix in file.suffixes[-2:]]
    packing = suffixes.pop() if suffixes and suffixes[-1] in PACKINGS else ""
    kind = suffixes[-1] if suffixes else ""
    if kind not in FORMATS or (packing and kind == ".parquet"):
        wanted = ", ".join(FORMATS)
        raise DataError(f"{file} is in no format that is read here: wanted {wanted}, or one with .gz or .zst")
    return kind, packing


def open_packed(file: Path) -> IO[bytes]:
    """A file's bytes as a stream, unpacked by its name's ending."""
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rb")  # type: ignore[return-value]
    if file.suffix.lower() == ".zst":
        return io.BufferedReader(_Zst(file))
    return file.open("rb")


class _Zst(io.RawIOBase):
    """Zstandard frames one after another; unlike the library's own reader, it notices when the last one is cut."""

    def __init__(self, file: Path) -> None:
        self._zstandard = _package("zstandard", file)
        self._file = file.open("rb")
        self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        self._is_started, self._ready = False, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._file.read(1 << 10)  # little: it may unpack to a thousand times as much
            if not packed:
                if self._is_started and not self._frame.eof:
                    raise EOFError("its last frame has no end")
                return 0
            if self._frame.eof:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            self._is_started = True
            self._ready = self._frame.decompress(packed)
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _pieces(file: Path, field: str, *, is_by_line: bool) -> Iterator[str]:
    kind, _ = format_of(file)
    if kind != ".txt":
        for number, record in enumerate(records(file, (field,))):
            text = record.get(field)
            if not isinstance(text, str):
                has = ", ".join(map(str, record))
                raise DataError(f"{file}, record {number}, has no text in the field {field!r}; it has: {has}")
            yield text
        return
    try:
        with open_packed(file) as stream:
            if is_by_line:
                yield from io.TextIOWrapper(stream, encoding="utf-8")  # type: ignore[type-var]
            else:
                yield from stream_documents(stream, file)
    except (EOFError, zlib.error, gzip.BadGzipFile, *_zstd_errors()) as error:
        raise DataError(f"{file} is damaged or was cut short: {error}; fetch it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8: {error}") from error


def _joined(pieces: Iterator[str], start: re.Pattern[str]) -> Iterator[str]:
    """Pieces put together from each that begins a document to the next; a heading follows a blank line."""
    document: list[str] = []
    for piece in pieces:
        if document and not document[-1].strip() and start.match(piece):
            yield "".join(document).strip("\n") + "\n"
            document.clear()
        document.append(piece if piece.endswith("\n") else piece + "\n")
    if document:
        yield "".join(document).strip("\n") + "\n"


def _unfit(text: str) -> str:
    """Why a text cannot be a document of a Corpus; empty when it can."""
    if not text or text.isspace():
        return "blank document"
    if DOCUMENT_END in text:
        return "holds the end-of-text marker"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "no valid Unicode"
    return ""


def _json_lines(stream: IO[bytes], file: Path) -> Iterator[dict[str, Any]]:
    number = 0
    while line := stream.readline(LONGEST_LINE_BYTES + 1):
        if len(line) > LONGEST_LINE_BYTES:
            raise DataError(
                f"{file}, line {number + 1}, is longer than {LONGEST_LINE_BYTES:,} bytes: no JSON Lines"
            )
        if not line.isspace():
            yield _record(line, file, number)
        number += 1


def _json_list(stream: IO[bytes], file: Path) -> Iterator[dict[str, Any]]:
    try:
        rows = json.load(stream)
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file} is JSON, but no list of records")
    yield from rows


def _record(line: bytes, file: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{file}, line {number + 1}, is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{file}, line {number + 1}, is JSON, but no record: {str(record)[:40]!r}")
    return record


def _parquet_records(file: Path, fields: list[str]) -> Iterator[dict[str, Any]]:
    _package("pyarrow", file)
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            has = opened.schema_arrow.names
            if not set(fields) <= set(has):
                raise DataError(f"{file} has no column {', '.join(fields)!r}; it has: {', '.join(has)}")
            for batch in opened.iter_batches(
                batch_size=ROWS_AT_ONCE, columns=fields or None, use_threads=False
            ):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{file} is damaged or was cut short: {error}; fetch it again") from error


def _package(name: str, file: Path) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise ConfigError(f"reading {file.name} needs the package {name}: make setup EXTRAS=data") from None


def _zstd_errors() -> tuple[type[Exception], ...]:
    try:
        import zstandard
    except ImportError:
        return ()
    return (zstandard.ZstdError,)
