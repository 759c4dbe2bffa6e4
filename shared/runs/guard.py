"""The divergence guard: stops a run whose loss has left the range of sensible numbers, and notes single
spikes.

A step *spikes* when its loss exceeds the level by more than `rise` and by more than `spreads` times the
usual scatter. The level is the lowest median of `window_steps` losses seen so far, the scatter the median
distance from it; losses of spiking steps never enter the window. A spike that passes is an event in the
log; `patience_steps` spiking steps in a row are a lasting spike and end the run, as does any NaN or
infinity at once. The guard's memory is saved with each checkpoint, so a resumed run judges as an
undisturbed one would.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import DivergenceError


@dataclass(frozen=True)
class Guard:
    """What counts as diverged; `Guard(patience_steps=0)` looks for numbers that are not finite only."""

    metric: str = "loss_nats"
    finite: tuple[str, ...] = ("loss_nats", "gradient_norm")  # these may never be NaN or infinite
    window_steps: int = 50  # losses that make up the level; nothing is judged before they are there
    rise: float = 1.0  # in the metric's unit: batches of one distribution rarely differ by a nat
    spreads: float = 6.0  # of a normal distribution's sigmas, estimated robustly
    patience_steps: int = 50  # spiking steps in a row that make a lasting spike; 0 judges no spikes


class Watch:
    """A guard at work: the recent losses, the level, and how long the present spike has lasted."""

    def __init__(self, guard: Guard | None, memory: Mapping[str, Any] | None = None):
        memory = memory or {}
        self.guard = guard
        self.recent: list[float] = list(memory.get("recent", []))
        self.level: float | None = memory.get("level")
        self.scatter: float = memory.get("scatter", 0.0)
        self.spiking_steps: int = memory.get("spiking_steps", 0)
        self.num_spikes: int = memory.get("num_spikes", 0)

    def memory(self) -> dict[str, Any]:
        """All that must survive a restart, as JSON values."""
        return {key: value for key, value in vars(self).items() if key != "guard"}

    def look(self, step: int, metrics: Mapping[str, float]) -> dict[str, Any] | None:
        """Judge one step; the event to log when a spike begins or ends.

        Raises:
            DivergenceError: a number is not finite, or the spike has lasted `patience_steps`.
        """
        if self.guard is None:
            return None
        self._require_finite(step, metrics)
        loss = metrics.get(self.guard.metric)
        if loss is None or not self.guard.patience_steps:
            return None
        if self._is_spike(loss):
            return self._spike(step, loss)
        event = None
        if self.spiking_steps:
            event = {"event": "spike_ended", "spiking_steps": self.spiking_steps, self.guard.metric: loss}
        self.spiking_steps = 0
        self._remember(loss)
        return event

    def _require_finite(self, step: int, metrics: Mapping[str, float]) -> None:
        assert self.guard is not None
        bad = {key: metrics[key] for key in self.guard.finite if not math.isfinite(metrics.get(key, 0.0))}
        if bad:
            values = ", ".join(f"{key}={value}" for key, value in bad.items())
            raise DivergenceError(f"step {step} gave {values}; wanted finite numbers")

    def _is_spike(self, loss: float) -> bool:
        assert self.guard is not None
        if self.level is None:
            return False
        return loss > self.level + max(self.guard.rise, self.guard.spreads * self.scatter)

    def _spike(self, step: int, loss: float) -> dict[str, Any] | None:
        assert self.guard is not None
        self.spiking_steps += 1
        if self.spiking_steps >= self.guard.patience_steps:
            raise DivergenceError(
                f"{self.guard.metric} has stayed above its level for {self.spiking_steps} steps in a row: "
                f"{loss:.4g} at step {step}, where {self.level:.4g} had been reached"
            )
        if self.spiking_steps > 1:
            return None
        self.num_spikes += 1
        return {"event": "spike", self.guard.metric: loss, "level": self.level, "scatter": self.scatter}

    def _remember(self, loss: float) -> None:
        assert self.guard is not None
        self.recent = [*self.recent, loss][-self.guard.window_steps :]
        if len(self.recent) < self.guard.window_steps:
            return
        middle = statistics.median(self.recent)
        if self.level is None or middle < self.level:
            self.level = middle
            # 1.4826: the median distance of a normal distribution is its sigma divided by this
            self.scatter = 1.4826 * statistics.median(abs(value - middle) for value in self.recent)
