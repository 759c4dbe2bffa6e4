"""Token buckets: how often one client may ask.

Each client has a bucket that holds `burst` tokens and fills at a steady rate; a request takes one. So a
pause is paid back as a burst, and the long-run rate holds. A bucket that would be full again is the same as
none, so full ones are forgotten and memory stays bounded by the clients of the last `burst / rate` seconds,
and by `max_clients` when somebody makes them up.
"""

import time
from collections import OrderedDict
from collections.abc import Callable


class TokenBuckets:
    """One bucket per client.

    >>> now = 0.0
    >>> buckets = TokenBuckets(rate_per_second=2, burst=2, clock=lambda: now)
    >>> [buckets.wait_seconds("a") for _ in range(3)], buckets.wait_seconds("b")
    ([0.0, 0.0, 0.5], 0.0)
    >>> now = 0.5
    >>> buckets.wait_seconds("a")
    0.0
    """

    def __init__(
        self,
        rate_per_second: float,
        burst: int,
        *,
        max_clients: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate_per_second, self.burst, self.max_clients, self._clock = (
            rate_per_second,
            burst,
            max_clients,
            clock,
        )
        self._buckets: OrderedDict[str, tuple[float, float]] = (
            OrderedDict()
        )  # client: tokens, when; oldest first

    def wait_seconds(self, client: str) -> float:
        """Take a token: 0 when there was one, else how long until there is (and none is taken)."""
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - then) * self.rate_per_second)
        is_admitted = tokens >= 1
        self._buckets[client] = (tokens - 1 if is_admitted else tokens, now)
        self._forget(now)
        return 0.0 if is_admitted else (1 - tokens) / self.rate_per_second

    def _forget(self, now: float) -> None:
        """Drop buckets from the oldest on: those that must be full by now, and what is too many."""
        full_after = self.burst / self.rate_per_second
        while self._buckets:
            _, then = next(iter(self._buckets.values()))
            if now - then < full_after and len(self._buckets) <= self.max_clients:
                return
            self._buckets.popitem(last=False)

    def __len__(self) -> int:
        return len(self._buckets)
