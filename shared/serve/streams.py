"""Answers that come in pieces: server-sent events, whose source is closed as soon as the client leaves.

    async def tokens() -> AsyncGenerator[object]:
        try:
            yield {"token": "Once"}
        finally:
            pages.free()                       # at the end, on an error, and when the client went away
    return EventStream(tokens())

The `finally` may not await: it runs while its task is being cancelled.

Source: [html-sse] section 9.2.6, the stream's format.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Send

_LINE_END = re.compile(
    r"\r\n|\r|\n"
)  # the format's own; str.splitlines knows more, which would tear JSON apart


class EventStream(StreamingResponse):
    """One event for each item: a text as it is, anything else as JSON."""

    media_type = "text/event-stream"

    def __init__(self, source: AsyncGenerator[object, None]) -> None:
        self._source = source
        super().__init__(self._events(), headers={"cache-control": "no-store"})

    async def _events(self) -> AsyncIterator[bytes]:
        async for item in self._source:
            yield event(item)

    async def stream_response(self, send: Send) -> None:
        """Send all events; whatever ends this closes the source, and not the garbage collector some day."""
        async with aclosing(self._source):
            await super().stream_response(send)


def event(item: object) -> bytes:
    r"""One server-sent event.

    >>> event({"token": "a\nb"}), event("[DONE]"), event("two\nlines")
    (b'data: {"token": "a\\nb"}\n\n', b'data: [DONE]\n\n', b'data: two\ndata: lines\n\n')
    """
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    return "".join(f"data: {line}\n" for line in _LINE_END.split(text)).encode() + b"\n"
