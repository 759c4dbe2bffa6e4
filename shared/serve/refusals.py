"""Answers that are no: as JSON that says what came, what was wanted and what to do.

`error.message` and `error.type` are where OpenAI's clients look for them; the three parts stand beside, for people.
"""

import json
from dataclasses import dataclass, field

REQUEST_ID = "x-request-id"


@dataclass(frozen=True)
class Refusal:
    """A request that is not served, and why."""

    status: int
    code: str  # a word for programs; also the label in /metrics
    came: str
    wanted: str
    do: str
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        """The JSON that the client gets."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {
            "message": f"{self.came}; wanted: {self.wanted}. {self.do}",
            "type": kind,
            "code": self.code,
            "came": self.came,
            "wanted": self.wanted,
            "do": self.do,
            "request_id": request_id,
        }
        return json.dumps({"error": error}).encode() + b"\n"

    def head(self, request_id: str, num_bytes: int) -> list[tuple[bytes, bytes]]:
        """Its headers, lower case, as ASGI and h11 take them."""
        headers = {
            "content-type": "application/json",
            "content-length": str(num_bytes),
            REQUEST_ID: request_id,
            "x-content-type-options": "nosniff",
            **self.headers,
        }
        return [(name.encode(), value.encode()) for name, value in headers.items()]


def key_refused(was_given: bool) -> Refusal:
    """Unknown and revoked keys get the same words, which repeat nothing of the key."""
    return Refusal(
        401,
        "key_refused",
        "a key that is not known here" if was_given else "a request without a key",
        "Authorization: Bearer KEY",
        "Ask whoever runs this server for a key (python -m shared.serve.keys add NAME)",
        {"www-authenticate": 'Bearer, Basic realm="any name, the key as password", charset="UTF-8"'},
    )


def too_often(wait_seconds: float, rate_per_second: float) -> Refusal:
    """The client's bucket is empty."""
    whole_seconds = max(1, int(-(-wait_seconds // 1)))
    return Refusal(
        429,
        "too_often",
        "more requests than this client may send",
        f"at most {rate_per_second:g} a second in the long run",
        f"Wait {whole_seconds} s and try again",
        {"retry-after": str(whole_seconds)},
    )


def too_busy(what: str, limit: int) -> Refusal:
    """Everything that can be served at once is being served."""
    return Refusal(
        503,
        "too_busy",
        f"one of more than {limit} {what}",
        f"at most {limit}",
        "Try again soon",
        {"retry-after": "1"},
    )


def wrong_host(host: str) -> Refusal:
    """Another name than ours: see `ServerConfig.admits_host`."""
    return Refusal(
        421,
        "wrong_host",
        f"a request for the host {host[:100]!r}",
        "127.0.0.1 or localhost: this server is for its own machine",
        "Use the address that the server printed when it started",
    )


def head_too_large(limit_bytes: int) -> Refusal:
    """Request line and headers are more than we keep."""
    return Refusal(
        431,
        "head_too_large",
        "a request line with headers",
        f"at most {limit_bytes} bytes",
        "Send fewer or shorter headers",
    )


def body_too_large(came_bytes: int, limit_bytes: int) -> Refusal:
    """Declared or counted, whichever shows first."""
    return Refusal(
        413,
        "body_too_large",
        f"a body of {came_bytes} bytes or more",
        f"at most {limit_bytes} bytes",
        "Send less in one request",
    )


def too_slow(part: str, limit_seconds: float) -> Refusal:
    """A client that dribbles."""
    return Refusal(
        408,
        "too_slow",
        f"a {part} that was not whole after {limit_seconds:g} s",
        f"all of it within {limit_seconds:g} s",
        "Try again, on a better line or with less",
    )


def not_http(detail: str) -> Refusal:
    """Bytes that are no HTTP/1.1 request."""
    return Refusal(
        400,
        "not_http",
        f"bytes that cannot be read as a request ({detail})",
        "HTTP/1.1",
        "Mend or update the client",
    )


def wrong_method(method: str, allowed: str) -> Refusal:
    """A path that is here, asked in another way."""
    return Refusal(
        405,
        "wrong_method",
        f"{method[:20]}",
        allowed,
        f"Ask with {allowed.split(', ')[0]}",
        {"allow": allowed},
    )


STOPPING = Refusal(
    503,
    "stopping",
    "a request that was not done when the server stopped",
    "a running server",
    "Send it again later",
)
FAILED = Refusal(
    500,
    "failed",
    "a request on which the server failed",
    "a server without this fault",
    "Tell whoever runs it the request id: the log has the details",
)
