"""An ordered map over worker processes, with bounded memory."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD_PER_WORKER = 2

_worker: dict[str, Any] = {}  # filled in worker processes only, once, when each starts


def available_cores() -> int:
    """Cores that this process may run on; in a job of Slurm no more than it asked for, bound to them or not."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(cores, int(given)) if given.isdigit() and int(given) else cores


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item], num_workers: int) -> Iterator[Result]:
    """`map(work, items)` over processes: results in order, and only a few items read ahead.

    `work` reaches each worker once: where processes can be forked it may be any callable and costs nothing to
    send. An exception of `work` is raised here, at its item's turn. With one worker all happens in this
    process.
    """
    if num_workers <= 1:
        yield from map(work, items)
        return
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    executor = ProcessPoolExecutor(num_workers, context, initializer=_start_worker, initargs=(work,))
    remaining = iter(items)
    under_way: deque[Future[Result]] = deque()
    try:
        while True:
            wanted = num_workers * _AHEAD_PER_WORKER - len(under_way)
            under_way.extend(executor.submit(_work, item) for item in islice(remaining, wanted))
            if not under_way:
                return
            yield under_way.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(work: Callable[[Any], Any]) -> None:
    _worker["work"] = work


def _work(item: Any) -> Any:
    return _worker["work"](item)
