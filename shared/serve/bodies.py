"""Reading a request's body whole, within a size and a time, before the application starts.

Nothing here streams uploads, so a body is held in memory: at most `max_body_bytes` for each of
`max_connections`. In return the application never meets a body that stalls, lies about its length or breaks
off.
"""

import asyncio

from starlette.types import Message, Receive


class ClientGoneError(Exception):
    """The client closed its connection, or sent something after which nothing can be read."""


class BodyTooLargeError(Exception):
    """More bytes came than may be kept."""


class BodyReader:
    """The body of one request. `num_bytes` counts what came, `is_complete` says whether that is all."""

    def __init__(self, receive: Receive, timeout_seconds: float) -> None:
        self._receive = receive
        self._timeout_seconds = timeout_seconds
        self._deadline: float | None = None  # set by the first read: the time is for the whole body
        self.num_bytes = 0
        self.is_complete = False

    async def read(self, limit_bytes: int) -> bytes:
        """All of it.

        Raises:
            BodyTooLargeError: it is more than `limit_bytes`.
            ClientGoneError: the connection ended first.
            TimeoutError: it is not whole in time.
        """
        parts = bytearray()
        while not self.is_complete:
            parts += await self._next()
            if self.num_bytes > limit_bytes:
                raise BodyTooLargeError
        return bytes(parts)

    async def discard(self, limit_bytes: int) -> None:
        """Read on to the end, or to a limit, and keep nothing.

        A client that is refused while it still sends would often not see the answer: closing a socket with
        unread data resets it, and the reset overtakes the answer.

        Raises:
            ClientGoneError: as `read`.
            TimeoutError: as `read`.
        """
        while not self.is_complete and self.num_bytes <= limit_bytes:
            await self._next()

    async def _next(self) -> bytes:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        async with asyncio.timeout_at(self._deadline):
            message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        self.is_complete = not message.get("more_body", False)
        part = message.get("body", b"")
        self.num_bytes += len(part)
        return part


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body once, and afterwards what the connection says: the client left."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again
