"""How long work takes: warmed up, repeated, and the device waited for before each reading of the clock.

A GPU takes an order and returns at once, so a clock that is read without waiting times the handing over of orders. The
first calls compile, fill caches and ask for memory: they are made and not counted.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim

from shared.device import autocast, synchronize
from shared.runs.bench import Spread

FORWARD, BACKWARD, OPTIMIZER = "forward", "backward", "optimizer"
PHASES = (FORWARD, BACKWARD, OPTIMIZER)


@dataclass(frozen=True)
class Timing:
    """The measured seconds, and what is said of them."""

    seconds: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.seconds)

    @property
    def std(self) -> float:
        """Of the sample; 0 of a single measurement."""
        return statistics.stdev(self.seconds) if len(self.seconds) > 1 else 0.0

    @property
    def spread(self) -> Spread:
        """Median and quartiles: what one slow call cannot move."""
        return Spread.of(self.seconds)

    def __str__(self) -> str:
        return f"{1e3 * self.mean:.2f} ms ± {1e3 * self.std:.2f}"


def time_calls(
    function: Callable[[], object],
    *,
    device: torch.device,
    warmups: int = 5,
    repeats: int = 10,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """The time of each of `repeats` calls after `warmups` that do not count."""
    seconds = []
    for call in range(warmups + repeats):
        synchronize(device)
        start = clock()
        function()
        synchronize(device)
        if call >= warmups:
            seconds.append(clock() - start)
    return Timing(tuple(seconds))


def time_phases(
    phases: Mapping[str, Callable[[], object]],
    *,
    device: torch.device,
    warmups: int = 5,
    repeats: int = 10,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """The time of each of several calls made one after the other, such as a forward pass and its backward pass."""
    found: dict[str, list[float]] = {phase: [] for phase in phases}
    for turn in range(warmups + repeats):
        start = _now(device, clock)
        for phase, function in phases.items():
            function()
            end = _now(device, clock)
            if turn >= warmups:
                found[phase].append(end - start)
            start = end
    return {phase: Timing(tuple(seconds)) for phase, seconds in found.items()}


def time_step(
    model: nn.Module,
    optimizer: optim.Optimizer,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    warmups: int = 5,
    repeats: int = 10,
    clock: Callable[[], float] = time.perf_counter,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> dict[str, Timing]:
    """The time of each phase of a training step; `on_phase` is called as each begins.

    All phases of one step are timed one after the other, so that they add up to the step. The loss belongs to the
    forward pass, setting gradients to None to the optimizer.
    """
    inputs, targets = batch
    device = inputs.device
    found: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for step in range(warmups + repeats):
        marks = [_now(device, clock)]
        on_phase(FORWARD)
        with autocast(device, dtype):
            logits = model(inputs)
        loss = loss_of(logits.flatten(0, -2).float(), targets.flatten())
        marks.append(_now(device, clock))
        on_phase(BACKWARD)
        loss.backward()
        del logits, loss  # of the next step's peak these are no part
        marks.append(_now(device, clock))
        on_phase(OPTIMIZER)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        marks.append(_now(device, clock))
        if step >= warmups:
            for phase, start, end in zip(PHASES, marks, marks[1:], strict=False):
                found[phase].append(end - start)
    return {phase: Timing(tuple(seconds)) for phase, seconds in found.items()}


def whole(phases: Mapping[str, Timing]) -> Timing:
    """The time of each step: the sum of its phases."""
    rows: Sequence[tuple[float, ...]] = [timing.seconds for timing in phases.values()]
    return Timing(tuple(map(sum, zip(*rows, strict=True))))


def _now(device: torch.device, clock: Callable[[], float]) -> float:
    synchronize(device)
    return clock()
