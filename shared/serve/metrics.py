"""What a server counts, in the text format that Prometheus reads.

Labels take few values on purpose (a method, a status, a reason): a label that a client can choose would let
it fill our memory.
"""

import bisect
from collections import Counter

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Requests by method and status, their latency, their bytes, and how many are in flight."""

    def __init__(self) -> None:
        self.in_flight = self.connections = 0
        self.requests: Counter[tuple[str, int]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.received_bytes = self.sent_bytes = self.clients_gone = 0
        self._latency_counts = [0] * (len(BUCKETS_SECONDS) + 1)
        self._latency_sum_seconds = 0.0

    def finish(self, method: str, status: int, seconds: float, received_bytes: int, sent_bytes: int) -> None:
        """Count one finished request."""
        self.requests[method if method in METHODS else "other", status] += 1
        self._latency_counts[bisect.bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self._latency_sum_seconds += seconds
        self.received_bytes += received_bytes
        self.sent_bytes += sent_bytes

    def text(self) -> str:
        """All of it, as `/metrics` answers.

        Source: [prometheus-text] version 0.0.4: a histogram's buckets are cumulative.
        """
        lines: list[str] = []

        def family(name: str, kind: str, about: str, *samples: tuple[str, float]) -> None:
            lines.extend((f"# HELP {name} {about}", f"# TYPE {name} {kind}"))
            lines.extend(f"{name}{suffix} {value:.10g}" for suffix, value in samples)

        requests = sorted(self.requests.items())
        family(
            "http_requests_total",
            "counter",
            "Requests answered, by method and status.",
            *((f'{{method="{method}",status="{status}"}}', count) for (method, status), count in requests),
        )
        family(
            "http_refusals_total",
            "counter",
            "Requests refused before the application saw them, by reason.",
            *((f'{{reason="{reason}"}}', count) for reason, count in sorted(self.refusals.items())),
        )
        cumulative, samples = 0, []
        for bound, count in zip([*map(str, BUCKETS_SECONDS), "+Inf"], self._latency_counts, strict=True):
            cumulative += count
            samples.append((f'_bucket{{le="{bound}"}}', cumulative))
        samples += [("_sum", self._latency_sum_seconds), ("_count", cumulative)]
        family(
            "http_request_duration_seconds",
            "histogram",
            "From the request's head to its last byte.",
            *samples,
        )
        family("http_requests_in_flight", "gauge", "Requests being answered now.", ("", self.in_flight))
        family("http_connections", "gauge", "Open connections, idle ones too.", ("", self.connections))
        family("http_request_body_bytes_total", "counter", "Body bytes received.", ("", self.received_bytes))
        family("http_response_body_bytes_total", "counter", "Body bytes sent.", ("", self.sent_bytes))
        family(
            "http_clients_gone_total",
            "counter",
            "Clients that left before their answer's end.",
            ("", self.clients_gone),
        )
        return "\n".join(lines) + "\n"
