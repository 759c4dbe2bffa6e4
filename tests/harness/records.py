"""The records that a run sends to the grader over its private pipe: one JSON line each, numbered and signed.

The signature is an HMAC under a key made for the run. It keeps out everything that merely writes to the pipe; code
in the same interpreter could in the end find the key, which is why the grader also checks ids, order, canaries and
seals, and why `grade-all` names places a teacher should read.
"""

import hashlib
import hmac
import json
import os
import threading
from typing import Any


class Recorder:
    """The sending end, in the process that runs learner code. Other processes forked there stay silent."""

    def __init__(self, fd: int, key: bytes) -> None:
        self._process = os.getpid()
        os.set_inheritable(fd, False)

        write, getpid, dumps, one_at_a_time = os.write, os.getpid, json.dumps, threading.RLock()
        count = 0

        def send(event: str, **fields: Any) -> None:
            nonlocal count
            if getpid() != self._process:
                return
            with one_at_a_time:  # learner code may have threads, and what they do is recorded too
                body = dumps({"number": count, "event": event, **fields}).encode()
                line = sign(key, body) + b" " + body + b"\n"
                count += 1
                while line:
                    line = line[write(fd, line) :]

        self.send = send


def sign(key: bytes, body: bytes) -> bytes:
    """The signature of one record."""
    return hmac.new(key, body, hashlib.sha256).hexdigest().encode()


def read_records(data: bytes, key: bytes) -> tuple[list[dict[str, Any]], str]:
    """The records, and what is wrong with them as a whole (empty when nothing is).

    A run that was killed leaves a torn last line: that is dropped here, and missed by whoever counts the tests.
    """
    records: list[dict[str, Any]] = []
    complete, _, _ = data.rpartition(b"\n")
    for line in complete.split(b"\n") if complete else []:
        signature, _, body = line.partition(b" ")
        if not hmac.compare_digest(signature, sign(key, body)):
            return records, "a record that the grader's own code did not write came through its private pipe"
        record = json.loads(body)
        if record["number"] != len(records):
            return records, f"record {len(records)} is missing or came twice (got number {record['number']})"
        records.append(record)
    return records, ""
