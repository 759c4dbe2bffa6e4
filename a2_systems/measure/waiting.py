"""How long a rank stands still for messages: the exposed part of communication, whatever the strategy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist


class Waiting:
    """Seconds spent so far in waiting for collectives."""

    seconds: float = 0.0


@contextmanager
def waiting() -> Iterator[Waiting]:
    """Count the time inside every `wait`, which blocking collectives call too.

    Only where a wait stops the process: with NCCL it queues an order, and the stream does the waiting.
    """
    found, wait = Waiting(), dist.Work.wait

    def timed(work: dist.Work, *arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return wait(work, *arguments, **named)
        finally:
            found.seconds += time.perf_counter() - began

    dist.Work.wait = timed  # type: ignore[method-assign]
    try:
        yield found
    finally:
        dist.Work.wait = wait  # type: ignore[method-assign]
