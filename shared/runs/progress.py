"""Progress for whatever takes over two seconds: a bar with time left on a terminal, sparse plain lines
elsewhere.

    for document in progress(documents, "encoding", "documents"): ...
    with progress(total_bytes, "reading", "bytes") as bar:
        bar.advance(len(chunk))

Work that ends within two seconds prints nothing. Lines go to stderr, so that stdout stays what a program
answers.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Generic, TextIO, TypeVar

T = TypeVar("T")
QUIET_SECONDS = 2.0  # nothing is shown before
LONGEST_PAUSE_SECONDS = 60.0  # between two plain lines; they start at QUIET_SECONDS and double


def progress(
    work: Iterable[T] | int | None,
    label: str,
    unit: str = "items",
    *,
    start: int = 0,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> "Progress[T]":
    """Progress over an iterable, or towards a total that `advance` counts up to (None: unknown)."""
    items = None if work is None or isinstance(work, int) else work
    total = work if isinstance(work, int) else len(items) if isinstance(items, Sized) else None
    return Progress(items, total, label, unit, start, stream or sys.stderr, clock)


class Progress(Generic[T]):
    """Counts work done; iterate over it, or use it as a context manager and call `advance`."""

    def __init__(
        self,
        items: Iterable[T] | None,
        total: int | None,
        label: str,
        unit: str,
        start: int,
        stream: TextIO,
        clock: Callable[[], float],
    ):
        self.done, self.total, self.label, self.unit = start, total, label, unit
        self._items, self._start, self._stream, self._clock = items, start, stream, clock
        self._began = clock()
        self._pause_seconds = QUIET_SECONDS
        self._next_line = self._began + QUIET_SECONDS
        self._note = ""
        self._has_spoken = False
        self._bar: Any = None  # (rich progress, task id), once work has lasted long enough on a terminal

    def __iter__(self) -> Iterator[T]:
        if self._items is None:
            raise TypeError(f"progress {self.label!r} has a total and no iterable: use it in `with`")
        with self:
            for item in self._items:
                yield item
                self.advance()

    def __enter__(self) -> "Progress[T]":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None
        elif self._has_spoken and kind is None:
            self._print_line(is_last=True)

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count `amount` more units as done; `note` is a few words shown behind them, such as the loss."""
        self.done += amount
        self._note = note or self._note
        now = self._clock()
        if self._bar is not None:
            self._bar[0].update(self._bar[1], completed=self.done, note=self._note)
        elif now >= self._next_line:
            if self._stream.isatty():
                self._open_bar()
            else:
                self._print_line()
                self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
                self._next_line = now + self._pause_seconds

    def seconds_left(self) -> float | None:
        """An estimate from the mean speed so far; None before anything is done or without a total."""
        done = self.done - self._start
        if self.total is None or done <= 0:
            return None
        return (self._clock() - self._began) / done * max(0, self.total - self.done)

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = [
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn(self.unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        ]
        bar = RichProgress(*columns, console=Console(file=self._stream), refresh_per_second=4)
        bar.start()
        task = bar.add_task(self.label, total=self.total, completed=self.done, note=self._note)
        self._bar = (bar, task)

    def _print_line(self, is_last: bool = False) -> None:
        elapsed = self._clock() - self._began
        out_of = "" if self.total is None else f" of {self.total:,}"
        rate = (self.done - self._start) / elapsed if elapsed > 0 else 0.0
        left = self.seconds_left()
        if is_last:
            timing = f"done in {clock_text(elapsed)}"
        elif left is None:
            timing = f"{rate:,.3g} {self.unit}/s"
        else:
            timing = f"{rate:,.3g} {self.unit}/s, about {clock_text(left)} left"
        parts = [f"{self.label}: {self.done:,}{out_of} {self.unit}", timing, self._note]
        print(", ".join(part for part in parts if part), file=self._stream, flush=True)
        self._has_spoken = True


def clock_text(seconds: float) -> str:
    """Seconds as people say them: `48 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def duration(seconds: float) -> str:
    """A time that is an estimate: no digits that would not hold.

    >>> [duration(value) for value in (4, 75, 5400, 400_000)]
    ['4 s', '1 min 15 s', '1 h 30 min', '4.6 days']
    """
    return clock_text(max(seconds, 1)) if seconds < 48 * 3600 else f"{seconds / 86400:,.1f} days"
