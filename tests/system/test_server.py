"""A server under clients of every kind, over loopback: greedy, slow, broken, many at once, and ones that leave."""

import asyncio
import io
import json
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.errors import ConfigError
from shared.serve.answers import EXCEPTION_HANDLERS
from shared.serve.connections import Connection
from shared.serve.journal import Journal
from shared.serve.keys import add_key, revoke_key
from shared.serve.server import RunningServer, listen, running
from shared.serve.settings import ServerConfig
from shared.serve.streams import EventStream
from tests.system.http_client import (
    PATIENCE_SECONDS,
    Answer,
    answers,
    ask,
    connect,
    raw,
    read_to_end,
)

SECRET = "lm_secret-that-must-not-be-written"


class Knocked:
    """An application with the doors that these tests knock on, and what it saw."""

    def __init__(self) -> None:
        self.inside, self.leave = threading.Event(), threading.Event()
        self.source_closed = threading.Event()
        self.bodies: list[bytes] = []
        self.meeting: asyncio.Barrier | None = None
        paths = ["/echo", "/hold", "/meet/{parties:int}", "/events", "/fail", "/fail-late", "/large"]
        routes = [
            Route(path, getattr(self, path.split("/")[1].replace("-", "_")), methods=["GET", "POST"])
            for path in paths
        ]
        self.app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)

    async def echo(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        return JSONResponse({"body": self.bodies[-1].decode(), "request_id": request.state.request_id})

    async def hold(self, request: Request) -> Response:
        self.inside.set()
        await asyncio.get_running_loop().run_in_executor(None, self.leave.wait, PATIENCE_SECONDS)
        return JSONResponse({"held": True})

    async def meet(self, request: Request) -> Response:
        self.meeting = self.meeting or asyncio.Barrier(request.path_params["parties"])
        await self.meeting.wait()
        return JSONResponse({"request_id": request.state.request_id})

    async def events(self, request: Request) -> Response:
        return EventStream(self.endless())

    async def endless(self) -> AsyncGenerator[object, None]:
        try:
            while True:
                yield {"text": "x" * int(1e5)}
                await asyncio.sleep(0)
        finally:
            self.source_closed.set()

    async def fail(self, request: Request) -> Response:
        raise RuntimeError(f"the reason is {SECRET}")

    async def fail_late(self, request: Request) -> Response:
        async def pieces() -> AsyncGenerator[object, None]:
            yield "begun"
            raise RuntimeError("in the middle")

        return EventStream(pieces())

    async def large(self, request: Request) -> Response:
        return Response(bytes(64 << 20))


class Lines(io.StringIO):
    """A log that can be waited on: a client often has its answer before the line about it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Condition()

    def write(self, text: str) -> int:
        with self.written:
            count = super().write(text)
            self.written.notify_all()
        return count


class Running:
    """A running server with its application and its log."""

    def __init__(self, server: RunningServer, tested: Knocked, lines: Lines) -> None:
        self.port, self.tested, self._lines = server.port, tested, lines

    @property
    def text(self) -> str:
        return self._lines.getvalue()

    def entries(self, event: str = "request", at_least: int = 0) -> list[dict[str, Any]]:
        """The entries of an event so far, after waiting for a number of them."""

        def found() -> list[dict[str, Any]]:
            log = [json.loads(line) for line in self.text.splitlines()]
            return [entry for entry in log if entry["event"] == event]

        with self._lines.written:
            assert self._lines.written.wait_for(lambda: len(found()) >= at_least, PATIENCE_SECONDS), self.text
        return found()

    def entry(self, request_id: str) -> dict[str, Any]:
        """The line about one request."""
        wanted = f'"request_id": "{request_id}"'
        with self._lines.written:
            assert self._lines.written.wait_for(lambda: wanted in self.text, PATIENCE_SECONDS), self.text
        [entry] = [entry for entry in self.entries() if entry["request_id"] == request_id]
        return entry


@contextmanager
def server(**settings: Any) -> Iterator[Running]:
    tested, lines = Knocked(), Lines()
    generous = {"burst_requests": 10_000, "shutdown_seconds": 0.5}
    with running(tested.app, ServerConfig(port=0, **{**generous, **settings}), Journal(lines)) as started:
        yield Running(started, tested, lines)


@pytest.fixture(scope="module")
def plain() -> Iterator[Running]:
    with server(
        max_body_bytes=1000, max_header_bytes=4000, body_timeout_seconds=0.2, head_timeout_seconds=0.2
    ) as up:
        yield up


def chunked(*parts: bytes, closing: bool = False) -> bytes:
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    return head + (b"Connection: close\r\n\r\n" if closing else b"\r\n") + b"".join(parts)


def send_for_ever(bare: socket.socket, data: bytes) -> None:
    while True:
        bare.sendall(data)


def test_health_and_metrics_count_what_happened() -> None:
    with server() as up:
        assert ask(up.port, "/health").json == {"status": "ok"}
        assert ask(up.port, "/echo", "POST", b"abc").json["body"] == "abc"
        assert ask(up.port, "/none").status == 404
        text = ask(up.port, "/metrics").body.decode()
        assert 'http_requests_total{method="GET",status="200"} 1' in text
        assert 'http_requests_total{method="POST",status="200"} 1' in text
        assert 'http_requests_total{method="GET",status="404"} 1' in text
        assert "http_request_body_bytes_total 3\n" in text
        assert "http_requests_in_flight 1\n" in text, "the one that asks"
        assert ask(up.port, "/health", "POST").code == "wrong_method"


def test_a_watcher_cannot_hold_a_connection_with_a_body_that_nobody_reads(plain: Running) -> None:
    """`/health` needs no key and reads no body: it answers and closes, however much was announced."""
    [(status, _)] = answers(
        raw(plain.port, b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n")
    )
    assert status == 200
    [(status, _)] = answers(raw(plain.port, chunked().replace(b"POST /echo", b"GET /health")))
    assert status == 200


@pytest.mark.parametrize("sane", ["abc", "3f2a-9.b_C", "x" * 64])
def test_a_sane_request_id_is_kept(plain: Running, sane: str) -> None:
    answer = ask(plain.port, "/echo", x_request_id=sane)
    assert answer.headers["x-request-id"] == sane == answer.json["request_id"]
    assert plain.entry(sane)["status"] == 200


@pytest.mark.parametrize("insane", ["", "x" * 65, "a b", 'a"b', "é"])
def test_any_other_is_replaced(plain: Running, insane: str) -> None:
    answer = ask(plain.port, "/echo", x_request_id=insane)
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"] == answer.json["request_id"]
    assert plain.entry(answer.json["request_id"])["status"] == 200


def test_keys_are_asked_for_and_never_written_down(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = add_key(file, "alice")
    with server(keys=file) as up:
        assert ask(up.port, "/health").status == 200, "whoever watches the server needs no key"
        nothing, wrong = ask(up.port, "/echo"), ask(up.port, "/echo", authorization=f"Bearer {SECRET}")
        assert (nothing.status, wrong.status) == (401, 401)
        assert "Bearer" in nothing.headers["www-authenticate"]
        assert ask(up.port, "/metrics").status == 401
        right = ask(
            up.port,
            f"/echo?token={SECRET}",
            "POST",
            SECRET.encode(),
            authorization=f"Bearer {key}",
            x_extra=SECRET,
        )
        assert right.status == 200
        assert up.entry(right.headers["x-request-id"])["key"] == "alice"
        revoke_key(file, "alice")
        assert ask(up.port, "/echo", authorization=f"Bearer {key}").status == 401
        assert key not in up.text
        assert SECRET not in up.text
        assert SECRET.encode() not in wrong.body


def test_each_key_has_its_own_rate(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    alice, bob = add_key(file, "alice"), add_key(file, "bob")
    with server(keys=file, requests_per_second=0.001, burst_requests=2) as up:

        def statuses(key: str) -> list[int]:
            return [ask(up.port, "/echo", authorization=f"Bearer {key}").status for _ in range(3)]

        assert statuses(alice) == [200, 200, 429]
        assert statuses(bob) == [200, 200, 429]
        assert statuses("wrong") == [401, 401, 429], "guessing is rationed by address"
        late = ask(up.port, "/echo", authorization=f"Bearer {bob}")
        assert int(late.headers["retry-after"]) > 900
        assert ask(up.port, "/health").status == 200
        assert len(up.tested.bodies) == 4


def test_one_more_than_the_concurrency_is_told_to_come_back() -> None:
    with server(max_concurrency=1) as up, ThreadPoolExecutor(1) as pool:
        held = pool.submit(ask, up.port, "/hold")
        assert up.tested.inside.wait(PATIENCE_SECONDS)
        second = ask(up.port, "/echo")
        assert (second.status, second.code, second.headers["retry-after"]) == (503, "too_busy", "1")
        assert ask(up.port, "/health").status == 200
        up.tested.leave.set()
        assert held.result().status == 200
        assert ask(up.port, "/echo").status == 200


def test_too_many_connections_are_turned_away() -> None:
    with server(max_connections=2) as up, connect(up.port) as first, connect(up.port) as second:
        for bare in (first, second):  # an answer proves that the server has taken it in
            bare.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert bare.recv(1)
        [(status, body)] = answers(raw(up.port, b""))
        assert (status, json.loads(body)["error"]["code"]) == (503, "too_busy")


def test_a_request_for_another_host_is_refused(plain: Running) -> None:
    assert ask(plain.port, "/echo", host="evil.example").code == "wrong_host"
    assert ask(plain.port, "/health", host="evil.example").status == 421


@pytest.mark.parametrize("extra", ["one long header", "many short ones", "a long path"])
def test_a_large_head_is_refused(plain: Running, extra: str) -> None:
    path = "/" + "p" * 5000 if extra == "a long path" else "/echo"
    many = {f"x_{number}": "v" * 20 for number in range(200)} if extra == "many short ones" else {}
    one = {"x_long": "v" * 5000} if extra == "one long header" else {}
    answer = ask(plain.port, path, **many, **one)
    assert (answer.status, answer.code) == (431, "head_too_large")


def test_a_head_that_never_ends_is_refused_before_it_fills_memory(plain: Running) -> None:
    with connect(plain.port) as bare:
        bare.sendall(b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 300_000)
        assert b" 431 " in bare.recv(1 << 16)


def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(plain: Running) -> None:
    assert ask(plain.port, "/echo", "POST", b"x" * 1000).status == 200
    answer = ask(plain.port, "/echo", "POST", b"x" * 1001)
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert len(plain.tested.bodies[-1]) == 1000, "the application never saw the other"


def test_a_much_larger_body_gets_its_answer_too(plain: Running) -> None:
    assert ask(plain.port, "/echo", "POST", b"x" * 15_000).code == "body_too_large"


def test_a_chunked_body_is_counted_as_it_comes(plain: Running) -> None:
    chunk = b"100\r\n" + b"x" * 256 + b"\r\n"
    [(status, body)] = answers(raw(plain.port, chunked(chunk * 40, b"0\r\n\r\n", closing=True)))
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")


def test_a_body_without_end_is_cut_off() -> None:
    with server(max_body_bytes=1000) as up, connect(up.port) as bare:
        bare.sendall(chunked())
        with pytest.raises(OSError, match=r"reset|pipe|aborted"):
            send_for_ever(bare, b"1000\r\n" + b"x" * 4096 + b"\r\n")
        [entry] = up.entries(at_least=1)
        assert (entry["status"], entry["outcome"]) == (413, "body_too_large")
        assert entry["received_bytes"] < 1 << 20, "what is discarded, a few buffers more, and no more"


def test_a_client_that_asks_first_is_not_made_to_send(plain: Running) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
    [(status, _)] = answers(raw(plain.port, head))
    assert status == 413


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        # Less declared than sent: the rest is read as a next request, which it is not.
        (b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabcdef\r\n\r\n", [200, 400]),
        # More declared than sent.
        (b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\nabc", [408]),
        (b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", [400]),
        (
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            [400],
        ),
        # Two lengths that disagree are how requests are smuggled past a proxy.
        (
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\nabc",
            [400],
        ),
        (b"GET /echo HTTP/1.1\r\n\r\n", [400]),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", [400]),
        (b"GET /echo HTTP/1.1\r\nHost: localhost\r\nBad Header: 1\r\n\r\n", [400]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400]),  # TLS to a plain port
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 421]),  # HTTP/2: names no host, and goes on as no HTTP/1
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"\0garbage\r\n\r\n", [200, 400]),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3 + b"?\r\n\r\n", [200, 200, 200, 400]),
        (chunked(b"zz\r\nabc\r\n"), [400]),
        (chunked(b"3\r\nabcdef\r\n0\r\n\r\n"), [400]),
        (chunked(b"3\r\nabc\r\n-1\r\n"), [400]),
        (chunked(b"ffffffffffffffffffffffff\r\n"), [400]),
        (chunked(b"3\r\nabc\r\n"), [408]),
    ],
)
def test_what_is_no_http_gets_a_json_answer_and_a_line(
    plain: Running, request_bytes: bytes, statuses: list[int]
) -> None:
    before = len(plain.entries())
    found = answers(raw(plain.port, request_bytes))
    assert sorted(status for status, _ in found) == statuses
    written = plain.entries(at_least=before + len(statuses))[before:]
    assert sorted(entry["status"] for entry in written) == statuses, (
        "the last is sent while the one before ends"
    )
    refused = next(json.loads(body)["error"] for status, body in found if status == statuses[-1])
    assert refused["do"]
    assert plain.entry(refused["request_id"])["status"] == statuses[-1]
    assert not plain.entries("error")


def test_a_client_that_dribbles_its_head_is_cut_off(plain: Running) -> None:
    """Slowloris: each new byte looks alive, and the deadline stands all the same."""
    with connect(plain.port) as bare:
        bare.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")  # the second request is the slow one
        data = b""
        while not data.endswith(b"}\n"):
            data += bare.recv(1 << 16)
        bare.settimeout(0.01)
        data = b""
        while not data:
            try:
                data = bare.recv(1 << 16)
            except TimeoutError:
                bare.sendall(b"X")
        assert b" 408 " in data


def test_a_client_that_connects_and_says_nothing_is_let_go(plain: Running) -> None:
    assert raw(plain.port, b"") == b""


def test_a_client_that_leaves_while_it_sends_is_written_down() -> None:
    with server() as up:
        with connect(up.port) as bare:
            bare.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\nabc")
        [entry] = up.entries(at_least=1)
        assert (entry["status"], entry["outcome"], entry["received_bytes"]) == (499, "client gone", 3)
        assert up.tested.bodies == []


@pytest.mark.parametrize("path", ["/events", "/large"])
def test_a_client_that_never_reads_is_cut_off(path: str) -> None:
    with server(write_timeout_seconds=0.2, keep_alive_seconds=0.1) as up, connect(up.port, 4096) as bare:
        bare.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        up.entries(at_least=1)
        text = ""
        while "http_connections 1\n" not in text:
            text = ask(up.port, "/metrics").body.decode()
        assert len(read_to_end(bare)) < 64 << 20
        assert path != "/events" or up.tested.source_closed.is_set()


def test_a_stream_ends_when_its_client_leaves() -> None:
    with server() as up:
        with connect(up.port) as bare:
            bare.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            data = bare.recv(1 << 16)
            assert b"text/event-stream" in data
            assert not up.tested.source_closed.is_set()
        assert up.tested.source_closed.wait(PATIENCE_SECONDS)
        [entry] = up.entries(at_least=1)
        assert (entry["path"], entry["outcome"]) == ("/events", "client gone")
        text = ask(up.port, "/metrics").body.decode()
        assert "http_requests_in_flight 1\n" in text
        assert "http_clients_gone_total 1\n" in text


def test_a_failure_shows_its_trace_in_the_log_only() -> None:
    with server() as up:
        answer = ask(up.port, "/fail")
        assert (answer.status, answer.code) == (500, "failed")
        assert b"RuntimeError" not in answer.body
        assert SECRET.encode() not in answer.body
        [entry] = up.entries("error", at_least=1)
        assert entry["request_id"] == answer.json["error"]["request_id"]
        assert "Traceback" in entry["traceback"]


def test_a_failure_in_the_middle_cannot_be_taken_for_the_end() -> None:
    with server() as up:
        data = raw(up.port, b"GET /fail-late HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"data: begun" in data
        assert not data.endswith(b"0\r\n\r\n"), "the last chunk would say that this is all"
        assert up.entries(at_least=1)[-1]["outcome"] == "failed"


def test_many_clients_at_once_keep_their_ids() -> None:
    """All 32 are inside the application at the same time: it lets none out before."""
    ids = [f"client-{number}" for number in range(32)]
    with server(max_concurrency=32) as up, ThreadPoolExecutor(32) as pool:

        def one(name: str) -> Answer:
            return ask(up.port, "/meet/32", x_request_id=name)

        found = dict(zip(ids, pool.map(one, ids), strict=True))
        assert all(answer.status == 200 for answer in found.values())
        assert all(
            answer.headers["x-request-id"] == name == answer.json["request_id"]
            for name, answer in found.items()
        )
        assert sorted(entry["request_id"] for entry in up.entries(at_least=32)) == sorted(ids)
        assert all(entry["status"] == 200 for entry in up.entries())


def test_requests_on_one_connection_are_answered_in_order(plain: Running) -> None:
    one = (
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nX-Request-ID: n{0}\r\n{1}\r\n{0:02d}"
    )
    data = "".join(
        one.format(number, "Connection: close\r\n" if number == 19 else "") for number in range(20)
    )
    found = answers(raw(plain.port, data.encode()))
    assert [json.loads(body)["body"] for _, body in found] == [f"{number:02d}" for number in range(20)]


def test_after_all_this_the_server_still_answers(plain: Running) -> None:
    assert ask(plain.port, "/echo", "POST", b"still here").json["body"] == "still here"


def test_an_answer_is_not_held_back_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms a request."""
    real, noted = Connection.connection_made, []

    def noting(self: Connection, transport: asyncio.Transport) -> None:
        real(self, transport)
        option = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        noted.append(option != 0)

    monkeypatch.setattr(Connection, "connection_made", noting)
    with server() as up:
        assert ask(up.port, "/health").status == 200
    assert noted == [True]


def test_a_port_that_is_taken_is_named() -> None:
    with listen(ServerConfig(port=0)) as taken, pytest.raises(ConfigError, match="choose another --port"):
        listen(ServerConfig(port=taken.getsockname()[1]))


def test_stopping_tells_whoever_is_still_inside() -> None:
    with server(shutdown_seconds=0.1) as up:
        bare = connect(up.port)
        bare.sendall(b"GET /meet/2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while up.tested.meeting is None or not up.tested.meeting.n_waiting:
            ask(up.port, "/health")
    with bare:
        [(status, body)] = answers(read_to_end(bare))
    assert (status, json.loads(body)["error"]["code"]) == (503, "stopping")
    assert up.entries()[-1]["outcome"] == "stopped"
