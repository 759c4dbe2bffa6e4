"""Every request's way in and out: who asks, whether it may, and what is written down about it.

`Gate` is an ASGI application around another. In order: the host it asked for, `/health`, its key, its rate,
the size of its head and body, how many are inside already; then `/metrics` or the application. Whatever
happens, the client gets one answer with a request id (its own, when it sent a sane one), the log one line,
and a traceback stays here.
"""

import asyncio
import base64
import binascii
import contextlib
import re
import time
import uuid
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.serve import refusals
from shared.serve.bodies import BodyReader, BodyTooLargeError, ClientGoneError, replay
from shared.serve.journal import Journal
from shared.serve.keys import KeyRing
from shared.serve.metrics import CONTENT_TYPE, Metrics
from shared.serve.rates import TokenBuckets
from shared.serve.refusals import REQUEST_ID, Refusal
from shared.serve.settings import ServerConfig

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DISCARDED_BODIES = 16  # times max_body_bytes: what is read of a refused body so that the client sees why
CLIENT_GONE = 499  # as nginx logs it: there was nobody left to answer


class Gate:
    """The application with everything around it that a server needs."""

    def __init__(
        self,
        app: ASGIApp,
        config: ServerConfig,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app, self.config, self.journal, self.metrics = app, config, journal, metrics
        self.keys = KeyRing(config.keys) if config.keys else None
        self.buckets = TokenBuckets(config.requests_per_second, config.burst_requests, clock=clock)
        self.inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; `lifespan` goes to the application as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        body = BodyReader(exchange.receive, self.config.body_timeout_seconds)
        self.metrics.in_flight += 1
        try:
            await self._answer(scope, exchange, body)
        except ClientGoneError:
            exchange.outcome = "client gone"
        except asyncio.CancelledError:  # the time for requests in flight is over
            exchange.outcome = "stopped"
            await exchange.refuse(refusals.STOPPING)
            raise
        except Exception as error:
            exchange.outcome = "failed"
            self.journal.failure(error, request_id=exchange.request_id)
            await exchange.refuse(refusals.FAILED)  # begun already: uvicorn breaks the connection off instead
        finally:
            self.metrics.in_flight -= 1
            self._write_down(exchange, body)

    async def _answer(self, scope: Scope, exchange: "Exchange", body: BodyReader) -> None:
        refusal = self._host_refusal(exchange)
        if refusal is None and scope["path"] == "/health":
            await self._plain_answer(
                exchange, "application/json", b'{"status": "ok"}\n', closes=exchange.has_body
            )
            return
        refusal = refusal or self._head_refusal(exchange)
        content = b""
        if refusal is None:
            try:
                content = await body.read(self.config.max_body_bytes)
            except BodyTooLargeError:
                refusal = refusals.body_too_large(body.num_bytes, self.config.max_body_bytes)
            except TimeoutError:
                await exchange.refuse(
                    refusals.too_slow("body", self.config.body_timeout_seconds), closes=True
                )
                return
        if refusal is None and self.inside >= self.config.max_concurrency:
            refusal = refusals.too_busy("requests at once", self.config.max_concurrency)
        if refusal is not None:
            if not exchange.waits_for_leave:  # "Expect: 100-continue": it will not send what is not wanted
                with contextlib.suppress(TimeoutError):
                    await body.discard(_DISCARDED_BODIES * self.config.max_body_bytes)
            await exchange.refuse(refusal, closes=not body.is_complete)
            return
        if scope["path"] == "/metrics":
            await self._plain_answer(exchange, CONTENT_TYPE, self.metrics.text().encode(), closes=False)
            return
        self.inside += 1
        try:
            await self.app(scope, replay(content, exchange.receive), exchange.send)
        finally:
            self.inside -= 1

    def _host_refusal(self, exchange: "Exchange") -> Refusal | None:
        host = exchange.headers.get("host", "")
        return None if self.config.admits_host(host) else refusals.wrong_host(host)

    def _head_refusal(self, exchange: "Exchange") -> Refusal | None:
        """What the head alone decides: key, rate, sizes."""
        is_refused = False
        if self.keys is not None:
            given = presented_key(exchange.headers.get("authorization", ""))
            exchange.key_name = self.keys.name_of(given) if given else None
            is_refused = exchange.key_name is None
        # Wrong keys count too, for their address: asking is not free for those who guess.
        client = f"key {exchange.key_name}" if exchange.key_name else f"address {exchange.address}"
        wait_seconds = self.buckets.wait_seconds(client)
        if wait_seconds > 0:
            return refusals.too_often(wait_seconds, self.config.requests_per_second)
        if is_refused:
            return refusals.key_refused(was_given="authorization" in exchange.headers)
        if exchange.head_bytes > self.config.max_header_bytes:
            return refusals.head_too_large(self.config.max_header_bytes)
        declared = exchange.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self.config.max_body_bytes:
            return refusals.body_too_large(int(declared), self.config.max_body_bytes)
        return None

    async def _plain_answer(
        self, exchange: "Exchange", content_type: str, body: bytes, *, closes: bool
    ) -> None:
        """Answer with a text of our own. `closes`: the request's body is not read, and may never end."""
        if exchange.method not in ("GET", "HEAD"):
            await exchange.refuse(refusals.wrong_method(exchange.method, "GET, HEAD"), closes=True)
            return
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        headers += [(b"connection", b"close")] if closes else []
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": body})

    def _write_down(self, exchange: "Exchange", body: BodyReader) -> None:
        seconds = time.perf_counter() - exchange.began
        told: Refusal | None = exchange.state.get("refusal")
        if told is not None:  # by the connection: the body was no HTTP
            exchange.refusal, exchange.status, exchange.outcome = told, told.status, None
        elif exchange.has_client_left and not exchange.is_complete:
            exchange.outcome = "client gone"
            self.metrics.clients_gone += 1
        status = exchange.status or CLIENT_GONE
        if exchange.refusal is not None:
            self.metrics.refusals[exchange.refusal.code] += 1
        self.metrics.finish(exchange.method, status, seconds, body.num_bytes, exchange.sent_bytes)
        self.journal.write(
            "request",
            request_id=exchange.request_id,
            address=exchange.address,
            key=exchange.key_name,
            method=exchange.method,
            path=exchange.path,
            status=status,
            outcome=exchange.outcome or (exchange.refusal.code if exchange.refusal else None),
            received_bytes=body.num_bytes,
            sent_bytes=exchange.sent_bytes,
            seconds=round(seconds, 6),
        )


class Exchange:
    """One request and its answer: what is known of it, and the `receive` and `send` that keep track."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.began = time.perf_counter()
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        asked = self.headers.get(REQUEST_ID, "")
        self.state = scope.setdefault("state", {})
        own_id = asked if _SANE_ID.fullmatch(asked) else uuid.uuid4().hex
        self.request_id: str = self.state.setdefault("request_id", own_id)
        self.method: str = scope["method"][:20]
        self.path: str = scope["path"]
        self.address: str = scope["client"][0] if scope.get("client") else "unknown"
        fields = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        self.head_bytes = fields + len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
        self.key_name: str | None = None
        self.refusal: Refusal | None = None
        self.outcome: str | None = None  # set when something else than the answer decided the end
        self.status: int | None = None
        self.sent_bytes = 0
        self.is_complete = self.has_client_left = False

    @property
    def waits_for_leave(self) -> bool:
        """Whether the client sends its body only after it was asked to."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def has_body(self) -> bool:
        """Whether the head announces a body."""
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"

    async def receive(self) -> Message:
        """The next message of the connection."""
        message = await self._receive()
        self.has_client_left |= message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer's message on, with the request id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(REQUEST_ID.encode(), self.request_id.encode()), (b"x-content-type-options", b"nosniff")]
            named = {name for name, _ in own}
            kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in named]
            message = {**message, "headers": kept + own}
        elif message["type"] == "http.response.body":
            self.sent_bytes += 0 if self.method == "HEAD" else len(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, refusal: Refusal, *, closes: bool = False) -> None:
        """Answer no, if nothing was answered yet."""
        if self.status is not None:
            return
        self.refusal = refusal
        body = refusal.body(self.request_id)
        head = refusal.head(self.request_id, len(body)) + ([(b"connection", b"close")] if closes else [])
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": head})
        await self.send({"type": "http.response.body", "body": body})


def presented_key(authorization: str) -> str | None:
    """The key of an `Authorization` header: `Bearer KEY`, or the password of `Basic`, which is what a browser
    can ask for.

    >>> presented_key("Bearer lm_x"), presented_key("basic " + base64.b64encode(b"me:lm_x").decode()), presented_key("")
    ('lm_x', 'lm_x', None)
    """
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode("utf-8").partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
