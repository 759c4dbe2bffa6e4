"""What the time is made of: a table of operators, and a trace to look at.

with traced() as found:
    step()
print(table(rows(found)))
found.export_chrome_trace("step.json")     # open in chrome://tracing or ui.perfetto.dev
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

PHASE = "phase: "
"""Ranges of ours begin so, to be told from operators."""


@dataclass(frozen=True)
class Row:
    """All calls of one operator."""

    name: str
    calls: int
    self_seconds: float  # in the operator itself, what it calls left out; on the GPU where there is one
    share_fraction: float  # of all operators' own time


@contextmanager
def traced(*, with_memory: bool = False) -> Iterator[profile]:
    """Record every operator of the block, and every kernel where there is a GPU."""
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, profile_memory=with_memory, record_shapes=False) as found:
        yield found


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Name a part of the work, in our traces and, on CUDA, as an NVTX range for Nsight."""
    has_cuda = torch.cuda.is_available()
    nvtx: AbstractContextManager[Any] = torch.cuda.nvtx.range(name) if has_cuda else nullcontext()
    with record_function(PHASE + name), nvtx:
        yield


def rows(found: profile) -> list[Row]:
    """Operators by their own time, the most first."""
    on_gpu = torch.cuda.is_available()
    times = {
        event.key: (event.count, event.self_device_time_total if on_gpu else event.self_cpu_time_total)
        for event in found.key_averages()
        if not event.key.startswith((PHASE, "ProfilerStep"))
    }
    total = sum(microseconds for _, microseconds in times.values()) or 1.0
    listed = [
        Row(name, count, microseconds / 1e6, microseconds / total)
        for name, (count, microseconds) in times.items()
    ]
    return sorted(listed, key=lambda row: -row.self_seconds)


def phases(found: profile) -> dict[str, float]:
    """Seconds between beginning and end of each named part, all its occurrences together."""
    return {
        event.key.removeprefix(PHASE): event.cpu_time_total / 1e6
        for event in found.key_averages()
        if event.key.startswith(PHASE)
    }


def table(listed: Sequence[Row], most: int = 12) -> str:
    """The first rows, for people."""
    lines = [f"{'operator':<44} {'calls':>7} {'own time':>11} {'share':>7}"]
    lines += [
        f"{row.name[:44]:<44} {row.calls:>7} {1e3 * row.self_seconds:>8.2f} ms {row.share_fraction:>6.1%}"
        for row in listed[:most]
    ]
    return "\n".join(lines)
