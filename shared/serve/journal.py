"""The server's log: one JSON object a line, one line a request, nothing secret.

Headers, bodies and query strings are never written, since they are where keys and prompts travel. JSON
escapes what a client put into its path, so no request can forge a line.
"""

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import TextIO

_LONGEST_PATH = 300


class Journal:
    """Writes lines to a stream, whole ones, from any thread."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream
        self._lock = threading.Lock()

    def write(self, event: str, **fields: object) -> None:
        """One line: the time, the event and its fields, those that are None left out."""
        shown = {key: value for key, value in fields.items() if value is not None}
        if isinstance(path := shown.get("path"), str):
            shown["path"] = path[:_LONGEST_PATH]
        line = json.dumps(
            {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **shown}
        )
        stream = self.stream or sys.stderr
        with self._lock:
            stream.write(line + "\n")
            stream.flush()

    def failure(self, error: BaseException, *, request_id: str) -> None:
        """An error of our own: its traceback stays here, the client gets the request id to quote."""
        trace = "".join(traceback.format_exception(error))
        self.write("error", request_id=request_id, error=repr(error), traceback=trace)


class LibraryMessages(logging.Handler):
    """What goes wrong inside uvicorn, as lines of the journal; its warnings are about requests, which have theirs."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(level=logging.ERROR)
        self.journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record without its traceback: the gate wrote that already."""
        self.journal.write("server", level=record.levelname.lower(), message=record.getMessage())
