"""How a server ends: the listener first, what is in flight in peace, and an exit status of 0."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.system.http_client import ask, connect

ROOT = Path(__file__).resolve().parents[2]


def next_event(child: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert child.stdout is not None
    for line in child.stdout:
        entry = json.loads(line)
        if entry["event"] == event:
            return entry
    raise AssertionError(f"the server ended without {event!r}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_request_in_flight_finish_after_the_listener_closed(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.system.server_child"]
    with (
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child,
        ThreadPoolExecutor(1) as pool,
    ):
        port = int(next_event(child, "listening")["url"].rstrip("/").rpartition(":")[2])
        with connect(port) as idle:
            waiting = pool.submit(ask, port, "/wait")
            next_event(child, "inside")
            child.send_signal(number)
            assert idle.recv(1) == b"", "an idle connection is closed"
            with pytest.raises(ConnectionError):
                connect(port).close()
            assert not waiting.done()
            assert child.poll() is None
            assert child.stdin is not None
            child.stdin.write("go on\n")
            child.stdin.flush()
            answer = waiting.result()
        assert (answer.status, answer.body) == (200, b"finished")
        assert next_event(child, "request")["status"] == 200
        next_event(child, "stopped")
        assert child.wait(60) == 0
