"""One file from the network to the disk: resumed after a cut, checked, and put in place in one step.

What has come so far lies beside the target as `NAME.part`, with `NAME.part.json` saying of which version (the server's
ETag or Last-Modified) it is the beginning. The next attempt, in this process or a later one, asks for the rest "if it
is still that version"; a server that has another one, or knows no ranges, sends all of it and the part starts over. The
target appears by a rename, after length and SHA-256 were found right: whoever sees it sees all of it.
"""

import contextlib
import email.utils
import errno
import fcntl
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.corpora.catalog import is_allowed
from shared.errors import DataError
from shared.runs.progress import progress
from shared.store.disk import is_disk_full, readable_bytes, replace_json, sha256_of, sync_directory, sync_file

CHUNK_BYTES = 1 << 18
GAIN_BYTES = 1 << 20  # an attempt that brought so much is no failure
ATTEMPTS = 5  # without such a gain
LONGEST_WAIT_SECONDS = 120.0  # a server that asks for more is left alone
STALL_SECONDS = 60.0  # without a byte
SPARE_BYTES = 64 << 20  # left free on the disk
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that a later attempt may not see
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Unreachable(DataError):
    """No connection to the server at all."""


class Refused(DataError):
    """The server will not give the file (to us); trying again would change nothing."""


@dataclass
class _Attempt:
    """One answer of the server, read into the part."""

    error: str = ""  # what went wrong; empty: the part is whole
    wait_seconds: float = 0.0
    total_bytes: int | None = None
    is_offline: bool = False


@dataclass
class Download:
    """A file to fetch. `sleep` and the limits are parameters for tests."""

    url: str
    target: Path
    bytes: int = 0  # exact, or 0: unknown
    sha256: str = ""  # empty: unknown
    label: str = ""
    stall_seconds: float = STALL_SECONDS
    sleep: Callable[[float], None] = time.sleep
    _linked: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.part = self.target.with_name(self.target.name + ".part")
        self.state = self.target.with_name(self.target.name + ".part.json")

    def run(self) -> None:
        """Bring the file to `target`, which must not exist yet.

        Raises:
            Unreachable: no connection.
            Refused: the server says no, or leads to where nothing is read from.
            DataError: it breaks off again and again or sends something else than was promised; a disk too full.
        """
        failures, is_mended = 0, False
        while True:
            before = self._have()
            attempt = self._attempt()
            if not attempt.error:
                attempt.error = self._wrong(attempt)
                if not attempt.error:
                    break
                self._drop_part()
                if is_mended or not before:  # it came in one piece, or twice: this is what the server has
                    raise DataError(f"{self.url}: {attempt.error}. Nothing of it was kept")
                is_mended = True  # pieces of two versions, perhaps: once more from the start
                continue
            failures = 0 if self._have() - before >= GAIN_BYTES else failures + 1
            if failures >= ATTEMPTS:
                kind = Unreachable if attempt.is_offline else DataError
                raise kind(
                    f"{self.url}: {attempt.error}, after {ATTEMPTS} attempts. {readable_bytes(self._have())} are "
                    "kept: the same command goes on from there"
                )
            self.sleep(attempt.wait_seconds or float(2 ** (failures - 1)) if failures else 0.0)
        sync_file(self.part)
        if self.target.exists():
            raise DataError(f"{self.target} came to lie there meanwhile: it is left as it is")
        os.rename(self.part, self.target)
        self._drop_part()
        sync_directory(self.target.parent)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _drop_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def _wrong(self, attempt: _Attempt) -> str:
        """What is wrong with a part that has come to its end; empty when nothing is."""
        size = self._have()
        for wanted, who in ((attempt.total_bytes, "the server announced"), (self.bytes, "the catalog says")):
            if wanted and size != wanted:
                return f"{size:,} bytes came, {who} {wanted:,}"
        wanted = self.sha256 or self._linked
        found = sha256_of(self.part) if wanted else ""
        return f"its SHA-256 is {found}, and should be {wanted}" if found != wanted else ""

    def _attempt(self) -> _Attempt:
        version = self._version_of_part()
        have = self._have()
        request = urllib.request.Request(
            self.url, headers={"Accept-Encoding": "identity", "User-Agent": "lm"}
        )
        if have:
            request.add_header("Range", f"bytes={have}-")
            if version.get("validator"):
                request.add_header("If-Range", version["validator"])
        try:
            with open_url(request, self.stall_seconds) as answer:
                self._linked = linked_sha256(answer) or self._linked
                return self._receive(answer, have, version)
        except urllib.error.HTTPError as error:
            return self._refusal(error, version)
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise Refused(
                    f"{self.url}: the server's certificate is not trusted here ({reason})"
                ) from error
            if isinstance(reason, socket.gaierror | ConnectionRefusedError) or _is_no_route(reason):
                if not self._have():
                    raise Unreachable(f"{self.url}: no connection ({reason})") from error
                return _Attempt(f"no connection ({reason})", is_offline=True)
            if _is_ours(error):
                raise
            stalled = isinstance(reason, TimeoutError)
            what = (
                f"nothing came for {self.stall_seconds:g} s"
                if stalled
                else f"the connection broke ({reason})"
            )
            return _Attempt(what)

    def _version_of_part(self) -> dict[str, Any]:
        """Of which version the part is the beginning; a part of unknown version is of use only to a known digest."""
        try:
            version = json.loads(self.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            version = {}
        if not isinstance(version, dict) or version.get("url") != self.url:
            version = {}
        self._linked = str(version.get("linked_sha256", "")) or self._linked
        if not version.get("validator") and not (version and (self.sha256 or self._linked)):
            self.part.unlink(missing_ok=True)
        return version

    def _receive(self, answer: Any, have: int, version: dict[str, Any]) -> _Attempt:
        start, total = 0, _length(answer.headers.get("Content-Length"))
        if answer.status == 206:
            found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            start, total = (int(found[1] or -1), _length(found[3])) if found else (-1, None)
            if start != have or (version.get("total") and total != version["total"]):
                self._drop_part()
                return _Attempt("the server answered with another range than was asked for")
            known, etag = version["validator"], answer.headers.get("ETag", "")
            if known.startswith('"') and etag.startswith('"') and etag != known:
                self._drop_part()
                return _Attempt("the server has another version by now")
        elif answer.status != 200:
            return _Attempt(f"the server answered {answer.status}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused(
                f"{self.url}: the server sends it packed ({answer.headers['Content-Encoding']}), unasked"
            )
        if total is None and not answer.chunked and not (self.bytes or self.sha256 or self._linked):
            raise Refused(
                f"{self.url}: the server does not say how long it is, so a cut could not be noticed"
            )
        if self.bytes and total is not None and total != self.bytes:
            raise DataError(
                f"{self.url}: the server offers {total:,} bytes, the catalog says {self.bytes:,}: another version "
                "or another page. Nothing was fetched"
            )
        require_free(self.target.parent, (total or 0) - start, self.target.name)
        headers = answer.headers
        etag = headers.get("ETag", "")
        validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
        state = {"url": self.url, "validator": validator, "total": total, "linked_sha256": self._linked}
        if not start:  # before its bytes: a part never lies beside the state of another version
            self.part.unlink(missing_ok=True)
            replace_json(self.state, state, temporary_in=self.state.parent)
        label = self.label or f"fetching {self.target.name}"
        with self.part.open("ab") as part, progress(total, label, "bytes", start=start) as bar:
            while chunk := answer.read1(CHUNK_BYTES):
                part.write(chunk)
                part.flush()  # what has come is kept, also when this process is killed
                bar.advance(len(chunk))
        size = self._have()
        if total is not None and size < total:
            return _Attempt(f"the connection ended at {size:,} of {total:,} bytes", total_bytes=total)
        return _Attempt(total_bytes=total)

    def _refusal(self, error: urllib.error.HTTPError, version: dict[str, Any]) -> _Attempt:
        with error:
            if error.code == 416:  # nothing left of the range: the part is whole, or is no part of this
                found = _CONTENT_RANGE.fullmatch(error.headers.get("Content-Range", ""))
                total = _length(found[3]) if found else None
                if total is not None and total == self._have() == version.get("total"):
                    return _Attempt(total_bytes=total)
                self._drop_part()
                return _Attempt("the server has no such range")
            if error.code not in PASSING:
                raise Refused(f"{self.url}: the server answered {error.code} {error.reason}")
            wait = retry_after_seconds(error.headers.get("Retry-After", ""))
            if wait > LONGEST_WAIT_SECONDS:
                raise DataError(
                    f"{self.url}: the server answered {error.code} and asks to wait {wait:.0f} s; "
                    "run the same command again after that"
                )
            return _Attempt(f"the server answered {error.code} {error.reason}", wait)


def open_url(request: urllib.request.Request, stall_seconds: float = STALL_SECONDS) -> Any:
    """Send a request, through the proxies that the environment names; follows redirects to https only.

    Raises:
        Refused: the URL, or one that it leads to, is neither https nor on this machine.
    """
    if not is_allowed(request.full_url):
        raise Refused(f"{request.full_url} is not https: not read")
    redirects = _Redirects()
    answer = urllib.request.build_opener(redirects).open(request, timeout=stall_seconds)
    answer.linked_sha256 = redirects.linked_sha256
    return answer


def linked_sha256(answer: Any) -> str:
    """The SHA-256 that the Hub names for a large file, on the redirect to where it lies; empty elsewhere."""
    return _linked(answer.headers) or answer.linked_sha256


def retry_after_seconds(value: str, now: float | None = None) -> float:
    """A Retry-After header, which is a number of seconds or a date; 0 when it is neither.

    >>> retry_after_seconds("7"), retry_after_seconds("Thu, 01 Jan 1970 00:01:40 GMT", now=40.0)
    (7.0, 60.0)
    """
    if value.strip().isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def require_free(folder: Path, num_bytes: int, what: str) -> None:
    """Meet a full disk before the work.

    Raises:
        DataError: the disk has less than that, and a little to spare, free.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes + SPARE_BYTES:
        raise DataError(
            f"{what} wants {readable_bytes(num_bytes)} in {folder}, and {readable_bytes(free)} are free there. "
            "Free some, or give --data=FOLDER on another disk"
        )


@contextlib.contextmanager
def one_at_a_time(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock that dies with its process; waits for another holder, and says so."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{what} is being fetched by another process: waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self) -> None:
        self.linked_sha256 = ""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_allowed(newurl) or (req.full_url.startswith("https:") and not newurl.startswith("https:")):
            raise Refused(f"{req.full_url} leads to {newurl}, which is not https: not followed")
        self.linked_sha256 = _linked(headers) or self.linked_sha256
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _linked(headers: Any) -> str:
    value = headers.get("X-Linked-ETag", "").strip('"').lower()
    return value if re.fullmatch(r"[0-9a-f]{64}", value) else ""


def _length(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() else None


def _is_no_route(reason: object) -> bool:
    return isinstance(reason, OSError) and reason.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)


def _is_ours(error: Exception) -> bool:
    """Whether the disk, not the network, failed."""
    return is_disk_full(error) or (isinstance(error, OSError) and error.filename is not None)
