"""The socket side: clients that dribble a head, never read their answer, or send what is no HTTP.

uvicorn's protocol on h11 does the work; this adds the deadlines it lacks and answers that are JSON. Every
timer is armed by an event of the connection and disarmed by the next one, so an idle server does nothing.

Source: [slowloris-2009] is the attack that the head's deadline ends; [rfc9112-2022] what is and is not HTTP/1.1.
"""

import asyncio
import http
import socket
import sys
import time
import uuid
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from shared.serve import refusals
from shared.serve.journal import Journal
from shared.serve.metrics import Metrics
from shared.serve.refusals import Refusal
from shared.serve.settings import ServerConfig


class Connection(H11Protocol):
    """One client's connection, with patience that ends."""

    def __init__(self, *, limits: ServerConfig, journal: Journal, metrics: Metrics, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._limits, self._journal, self._metrics = limits, journal, metrics
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._began = time.perf_counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client in, or turn it away when there are too many."""
        super().connection_made(transport)
        self._metrics.connections += 1
        # Head and body are two writes. Without this the kernel holds the second back until the first is acknowledged,
        # 40 ms later; asyncio sets it by itself only on sockets that were made with their protocol spelled out.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self._limits.max_connections:
            self._refuse(refusals.too_busy("connections", self._limits.max_connections))
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, and watch whether they have made a whole head yet."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_timer = _disarm(self._head_timer)
        elif self._head_timer is None and not self.transport.is_closing():
            self._await_head()

    def on_response_complete(self) -> None:
        """Go on to the next request; a last answer that nobody reads must not stay for ever."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_unless_read()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._abort_unless_read()

    def shutdown(self) -> None:
        """Close when idle, else after the answer."""
        super().shutdown()
        if self.transport.is_closing():
            self._abort_unless_read()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: from now on it has to make progress."""
        super().pause_writing()
        self._write_timer = _disarm(self._write_timer)
        self._write_timer = self.loop.call_later(self._limits.write_timeout_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It made progress."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._write_timer = _disarm(self._write_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave no timer behind."""
        super().connection_lost(exc)
        self._metrics.connections -= 1
        self._head_timer, self._write_timer = _disarm(self._head_timer), _disarm(self._write_timer)
        self._unset_keepalive_if_required()  # uvicorn leaves it armed after a reset

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what h11 cannot read, called while that error is being handled."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if hint == 431:
            self._refuse(refusals.head_too_large(self._limits.max_header_bytes))
        else:
            self._refuse(refusals.not_http(str(error or msg)[:200]))

    def _await_head(self) -> None:
        self._began = time.perf_counter()
        self._head_timer = self.loop.call_later(self._limits.head_timeout_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            has_begun = bool(self.conn.trailing_data[0])
            if has_begun:
                self._refuse(
                    refusals.too_slow("request line with headers", self._limits.head_timeout_seconds)
                )
            else:  # a connection that a client opened ahead of need: nothing was asked, so nothing is answered
                self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer outside of any application, write it down, and close."""
        self._head_timer = _disarm(self._head_timer)
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()  # in the middle of an answer: the client must not take it for whole
            return
        is_in_gate = cycle is not None and not cycle.response_complete
        state = cycle.scope.setdefault("state", {}) if is_in_gate else {}
        state["refusal"] = refusal
        request_id = state.setdefault("request_id", uuid.uuid4().hex)
        body = refusal.body(request_id)
        reason = http.HTTPStatus(refusal.status).phrase
        lines = [f"HTTP/1.1 {refusal.status} {reason}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in refusal.head(request_id, len(body))]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()
        self._abort_unless_read()
        if is_in_gate:
            return  # which writes it down
        self._metrics.refusals[refusal.code] += 1
        seconds = time.perf_counter() - self._began
        self._metrics.finish("other", refusal.status, seconds, 0, len(body))
        self._journal.write(
            "request",
            request_id=request_id,
            address=self.client[0] if self.client else "unknown",
            status=refusal.status,
            outcome=refusal.code,
            sent_bytes=len(body),
            seconds=round(seconds, 6),
        )

    def _abort_unless_read(self) -> None:
        """A closing transport waits for its buffer to empty; give it as long as any reader gets."""
        if self.transport.get_write_buffer_size() > 0:
            self._write_timer = _disarm(self._write_timer)
            self._write_timer = self.loop.call_later(self._limits.write_timeout_seconds, self.transport.abort)


def _disarm(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
