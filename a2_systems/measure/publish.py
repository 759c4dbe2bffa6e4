"""A measurement becomes a Runs: made once for the same settings, code and machine.

Times lie outside an artifact's digest, so two measurements with the same settings would be one artifact, and the second
one's times lost. Hence the machine is part of what a measurement is, and `take` tells several on one machine apart.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from shared.doors.resolve import source_roots
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import write_runs

Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Sequence[Mapping[str, Any]]]


class Measurement:
    """One program's measurement on this machine: whether it was made, and what it is published as."""

    def __init__(self, experiment: str, config: Any, device: torch.device, num_ranks: int = 1) -> None:
        self._name, self._store = config.name, Store(config.store)
        machine = machine_of(device) + (f" on each of {num_ranks} ranks" if num_ranks > 1 else "")
        self._config = recorded(config) | {"experiment": experiment, "machine": machine}
        roots = ["a2_systems", *source_roots("a1_basics", "reference")]
        self._key = step_key(f"a2_systems.run.{experiment}", config, {"machine": machine}, roots)

    def was_made(self) -> bool:
        """Whether it was made before; then that one bears the name, and is said to be there."""
        return already_made(self._store, self._key, self._name) is not None

    def publish(self, rows: Rows, curves: Curves) -> None:
        """Make it a Runs, and say so."""
        with self._store.draft(
            "Runs", config=self._config, parents={}, name=self._name, key=self._key
        ) as draft:
            write_runs(draft, rows, curves)
        print(draft.artifact)


def publish_once(
    experiment: str, config: Any, device: torch.device, measure: Callable[[], tuple[Rows, Curves]]
) -> None:
    """Publish what `measure` finds as the Runs `config.name`, unless it was measured before."""
    measurement = Measurement(experiment, config, device)
    if not measurement.was_made():
        measurement.publish(*measure())


def machine_of(device: torch.device) -> str:
    """What was measured, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads of {platform.node()}"
