"""A server of files on 127.0.0.1 that misbehaves on request; what the tests of the catalog fetch from.

Each fault is used up by one request for a file: the next one is served well. `requests` holds what was asked for.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Page:
    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})


@dataclass
class Site:
    """What is served, what goes wrong, and what was asked."""

    pages: dict[str, Page] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent_bytes: int = 0
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def ranges(self, path: str) -> list[str]:
        return [headers.get("range", "") for asked, headers in self.requests if asked == path]


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site on a free port, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            answer(self, site)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
    """Serve one request as HTTP says, but for the fault whose turn it is."""
    headers = {key.lower(): value for key, value in handler.headers.items()}
    site.requests.append((handler.path, headers))
    fault, _, value = (site.faults.pop(0) if site.faults else "").partition("=")
    page = site.pages.get(handler.path)
    if fault.isdecimal() or page is None:
        send(handler, site, int(fault or 404), {"Retry-After": value} if value else {}, b"no")
    elif fault == "redirect":
        send(handler, site, 302, {"Location": value, **page.headers}, b"")
    else:
        serve_page(handler, site, page, headers, fault)


def serve_page(
    handler: BaseHTTPRequestHandler, site: Site, page: Page, asked: dict[str, str], fault: str
) -> None:
    known = {page.headers.get("ETag"), page.headers.get("Last-Modified")}
    start, total = 0, len(page.content)
    wants = asked.get("range", "").removeprefix("bytes=").rstrip("-")
    is_same = "if-range" not in asked or asked["if-range"] in known or fault == "ignore_if_range"
    status, extra = 200, dict(page.headers)
    if wants and is_same and fault != "ignore_range":
        start = int(wants)
        if start >= total:
            send(handler, site, 416, {"Content-Range": f"bytes */{total}"}, b"")
            return
        status = 206
        shown = start + 1 if fault == "other_range" else start
        extra["Content-Range"] = f"bytes {shown}-{total - 1}/{total}"
    content = page.content[start:]
    length = len(content) + 1000 if fault == "lie_long" else len(content)
    if fault == "chunked":
        extra["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
        send(handler, site, status, extra, body, length=None)
        return
    if fault == "no_length":
        send(handler, site, status, extra, content, length=None)
        handler.close_connection = True
        return
    if fault == "gzip":
        extra["Content-Encoding"] = "gzip"
    wrong = bytes(len(content)) if fault == "wrong_bytes" else content
    end = len(content) // 2 if fault in ("cut", "stall") else len(content)
    send(handler, site, status, extra, wrong[:end], length=length)
    if fault == "stall":
        site.released.wait()
    if fault in ("cut", "stall", "lie_long"):
        handler.close_connection = True


def send(
    handler: BaseHTTPRequestHandler,
    site: Site,
    status: int,
    headers: dict[str, str],
    body: bytes,
    length: int | None = -1,
) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key, value)
    if length is not None:
        handler.send_header("Content-Length", str(len(body) if length < 0 else length))
    handler.end_headers()
    try:
        handler.wfile.write(body)
        handler.wfile.flush()
        site.sent_bytes += len(body)
    except ConnectionError:  # the client was killed
        handler.close_connection = True
