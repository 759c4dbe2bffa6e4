"""The settings of a server: where it listens, who may ask, and its limits. The defaults suit one person's
machine."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ConfigError

_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:\[\]]*)(:\d+)?")


@dataclass(frozen=True)
class ServerConfig:
    """Where a server listens and what it bears."""

    host: str = "127.0.0.1"  # this machine alone; anything wider needs keys
    port: int = 8000  # 0: any free port
    keys: Path | None = (
        None  # file of hashed API keys (python -m shared.serve.keys); None: nobody is asked for one
    )
    requests_per_second: float = 50.0  # of one key, or one address where no key is asked for, in the long run
    burst_requests: int = 200  # how many of them at once after a pause; a page loads its files in one burst
    max_concurrency: int = (
        64  # requests inside the application at once, streams too; more are told to come back
    )
    max_connections: int = 256  # open sockets, idle ones too; each may hold one body while it arrives
    max_header_bytes: int = 16_384  # request line and headers together
    max_body_bytes: int = 1 << 20  # of one request; bodies are held in memory until they are whole
    head_timeout_seconds: float = (
        10.0  # for a whole request line and headers, from connecting or the first byte
    )
    body_timeout_seconds: float = 30.0  # for a whole body
    write_timeout_seconds: float = 30.0  # without progress, of a client that does not read its answer
    keep_alive_seconds: float = 15.0  # for the next request on an idle connection
    shutdown_seconds: float = 10.0  # for requests in flight once the server is asked to stop

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name not in ("host", "keys", "port") and not value > 0:
                raise ConfigError(f"{name}={value!r}: a limit must be above 0")
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port={self.port} is no port: give 1 to 65535, or 0 for any free one")
        if self.keys is None and not self.is_local:
            raise ConfigError(
                f"host={self.host} can be reached from other machines, and no keys are set. Make a key with "
                "python -m shared.serve.keys add NAME and give its file by --keys, or listen on 127.0.0.1"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def admits_host(self, host_header: str) -> bool:
        """Whether a request's `Host` is one of ours.

        A page on the web can point its own name at 127.0.0.1 and so read a local server through the reader's
        browser (DNS rebinding); the browser then still says that name here. A server for other machines has
        keys and any name.
        """
        if not self.is_local:
            return True
        parts = _HOST.fullmatch(host_header.strip().lower())
        return parts is not None and parts["name"] in ("localhost", "127.0.0.1", "[::1]", self.host)
