"""Starting and stopping: bind, announce, serve, and on SIGTERM or Ctrl-C end cleanly.

The end has an order: the listener closes, so that whoever balances load sends new clients elsewhere; idle
connections close; requests in flight get `shutdown_seconds`; what is left is told so and cut off. A second
Ctrl-C does not wait.
"""

import contextlib
import functools
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from shared.errors import ConfigError
from shared.serve.connections import Connection
from shared.serve.gate import Gate
from shared.serve.journal import Journal, LibraryMessages
from shared.serve.metrics import Metrics
from shared.serve.settings import ServerConfig


def serve(app: ASGIApp, config: ServerConfig, journal: Journal | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is in flight and return.

    Raises:
        ConfigError: the address or port cannot be had, or the key file cannot be used.
    """
    journal = journal or Journal()
    with listen(config) as listener:
        server = _Server(app, config, journal)
        server.announce(listener)
        server.run([listener])
        journal.write("stopped")


@dataclass(frozen=True)
class RunningServer:
    """A server in a thread of this process."""

    url: str
    port: int


@contextlib.contextmanager
def running(app: ASGIApp, config: ServerConfig, journal: Journal | None = None) -> Iterator[RunningServer]:
    """Serve in a thread while the block runs; leaving it is what SIGTERM is to `serve`.

    Raises:
        ConfigError: as `serve`.
    """
    with listen(config) as listener:
        server = _Server(app, config, journal or Journal())
        thread = threading.Thread(target=server.run, args=([listener],), name="server", daemon=True)
        thread.start()
        try:
            yield RunningServer(url_of(listener), listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def listen(config: ServerConfig) -> socket.socket:
    """A socket on the wanted address; clients may connect from here on.

    Raises:
        ConfigError: the address or port cannot be had.
    """
    try:
        [*_, (family, _, _, _, address)] = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM
        )
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {config.host}, port {config.port}: {error.strerror or error}. "
            "Stop the other program that does, or choose another --port (0: any free one)"
        ) from error


def url_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class _Server(uvicorn.Server):
    """uvicorn with our gate, connections and journal, and without its own way to die of the signal it caught."""

    def __init__(self, app: ASGIApp, config: ServerConfig, journal: Journal) -> None:
        self.journal = journal
        metrics = Metrics()
        connection: Any = functools.partial(Connection, limits=config, journal=journal, metrics=metrics)
        super().__init__(
            uvicorn.Config(
                Gate(app, config, journal, metrics),
                interface="asgi3",
                http=connection,
                ws="none",
                loop="asyncio",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # an address that a client may write itself is no address
                server_header=False,
                h11_max_incomplete_event_size=config.max_header_bytes,
                timeout_keep_alive=config.keep_alive_seconds,  # type: ignore[arg-type]  # a float works as well
                timeout_graceful_shutdown=config.shutdown_seconds,  # type: ignore[arg-type]
            )
        )

    def announce(self, listener: socket.socket) -> None:
        """One line for whoever started it, and for a program that waits for the port."""
        self.journal.write("listening", url=url_of(listener))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ask for an end when a signal comes; uvicorn would raise it once more afterwards and exit by it."""
        handler = LibraryMessages(self.journal)
        library = logging.getLogger("uvicorn.error")
        library.addHandler(handler)
        library.propagate = False
        numbers = (signal.SIGINT, signal.SIGTERM)
        in_main = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, self._ask_to_stop) for number in numbers} if in_main else {}
        try:
            yield
        finally:
            library.removeHandler(handler)
            for number, old in before.items():
                signal.signal(number, old)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True
