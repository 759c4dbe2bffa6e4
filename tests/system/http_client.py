"""A small client for the tests of servers: whole requests by http.client, broken ones by a bare socket."""

import http.client
import io
import json
import socket
from typing import Any

PATIENCE_SECONDS = 60  # a test that waits this long has failed; nothing waits for it in good times


class Answer:
    """One response, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


def ask(port: int, path: str = "/", method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """One request on a connection of its own; underscores in header names are hyphens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def connect(port: int, receive_buffer_bytes: int | None = None) -> socket.socket:
    """A bare connection."""
    bare = socket.socket()
    if receive_buffer_bytes:
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    bare.settimeout(PATIENCE_SECONDS)
    bare.connect(("127.0.0.1", port))
    return bare


def read_to_end(bare: socket.socket) -> bytes:
    """All bytes until the server closes."""
    parts = []
    while part := bare.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def raw(port: int, data: bytes) -> bytes:
    """What the server says to bytes, until it closes."""
    with connect(port) as bare:
        bare.sendall(data)
        return read_to_end(bare)


def answers(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every response in a stream of bytes."""

    class Stream:
        def __init__(self, file: io.BytesIO) -> None:
            self.file = file

        def makefile(self, mode: str) -> io.BytesIO:
            return self.file

    class Kept(io.BytesIO):
        def close(self) -> None:  # http.client closes what it has read; more may follow
            pass

    file, found = Kept(data), []
    while file.tell() < len(data):
        response = http.client.HTTPResponse(Stream(file))  # type: ignore[arg-type]
        response.begin()
        found.append((response.status, response.read()))
    return found
