"""The log of a run: one JSON object per line, the unit of every number in its key.

A record is what was known after a step: `{"step": 120, "loss_nats": 3.41, "learning_rate": 0.001, ...}`.
Two runs of one config give the same log, line by line, once VOLATILE_KEYS (time, rate, memory) are left
out; `comparable` does that. Events that belong to the training itself (a loss spike) are records with an
`"event"` key; what belongs to the process (started, resumed, stopped) goes to `sessions.jsonl` beside it,
because it differs between equal runs.
"""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from shared.errors import ConfigError

VOLATILE_KEYS = frozenset(
    {
        "elapsed_seconds",
        "step_seconds",
        "tokens_per_second",
        "mfu_fraction",
        "memory_bytes",
        "evaluate_seconds",
        "exposed_seconds",
    }
)
"""Measured, hence different from run to run; everything else in a log is decided by config, data and code."""

VALIDATION_LOSS = "validation_loss_nats"
"""The key under which an `evaluate` function reports loss on held-out text, in nats per token."""

_TAIL_BYTES = 1 << 16
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Mirror(Protocol):
    """Another place that shows the same numbers."""

    def add(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def forget_after(self, step: int) -> None:
        """The run goes on from this step: what was shown of later ones is not part of it any more."""
        ...

    def close(self) -> None: ...


class RunLog:
    """Appends records to a JSONL file, and to mirrors when asked.

    A record reaches the operating system as one write at each `append`, so another process reads whole
    lines; `sync` forces them to the disk, which a runner does before each checkpoint.
    """

    def __init__(self, path: Path, mirror: str | None = None):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._drop_torn_line()
        self._file = path.open("ab")
        self._mirror = open_mirror(mirror, path.parent) if mirror else None

    def append(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Write one record; numbers that are not finite become the strings "nan", "inf" and "-inf"."""
        record = {"step": step} | {key: _plain(value) for key, value in metrics.items()}
        self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
        self._file.flush()
        if self._mirror is not None:
            numbers = {key: float(value) for key, value in metrics.items() if isinstance(value, (int, float))}
            self._mirror.add(step, numbers)

    def sync(self) -> int:
        """Force everything written so far to the disk; the file's size in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def cut(self, size_bytes: int, step: int) -> int:
        """Forget what was written after the file had `size_bytes`, which was after `step`; the number of bytes
        that are *missing* to it.

        A log that is shorter than its checkpoint remembers has lost records; the caller says so.
        """
        self._file.flush()
        found = os.fstat(self._file.fileno()).st_size
        if found > size_bytes:
            self._file.truncate(size_bytes)
            if self._mirror is not None:
                self._mirror.forget_after(step)
        self._file.seek(0, os.SEEK_END)
        return max(0, size_bytes - found)

    def close(self) -> None:
        """Close the file and the mirrors; safe to call twice."""
        self._file.close()
        if self._mirror is not None:
            self._mirror.close()
            self._mirror = None

    def _drop_torn_line(self) -> None:
        """A killed writer may leave half a line; new records must not be glued to it.

        It is looked for from the end: a long log is not read.
        """
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            size_bytes = at = file.seek(0, os.SEEK_END)
            newline = -1
            while at > 0 and newline < 0:
                before, at = at, max(0, at - _TAIL_BYTES)
                file.seek(at)
                newline = file.read(before - at).rfind(b"\n")
            if at + newline + 1 < size_bytes:
                file.truncate(at + newline + 1)


class SilentLog:
    """The log of a rank that does not lead: the first one's file, written by that alone."""

    def __init__(self, path: Path):
        self.path = path

    def append(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Nothing."""

    def sync(self) -> int:
        """Nothing is on the disk."""
        return 0

    def cut(self, size_bytes: int, step: int) -> int:
        """Nothing is missing."""
        return 0

    def close(self) -> None:
        """Nothing."""


def read_log(path: Path) -> list[dict[str, Any]]:
    """All records of a log; a last line that a killed writer left unfinished is passed over.

    Raises:
        ConfigError: a line before the last is not a JSON object: the file is damaged, not merely cut.
    """
    if not path.exists():
        raise ConfigError(f"there is no run log at {path}; `make runs` lists the runs that have one")
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise ConfigError(f"{path}:{number} is not JSON ({error}); the log is damaged there") from error
        if not isinstance(record, dict):
            raise ConfigError(f"{path}:{number} holds {line[:40]!r}, wanted a JSON object")
        records.append(
            {
                key: _NOT_FINITE.get(value, value) if isinstance(value, str) else value
                for key, value in record.items()
            }
        )
    return records


def comparable(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records without what is measured rather than computed; equal for two runs of the same config."""
    return [{key: value for key, value in record.items() if key not in VOLATILE_KEYS} for record in records]


def series(records: Iterable[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of one metric, where it was logged (events such as spikes left out)."""
    pairs = [(r["step"], float(r[key])) for r in records if key in r and "event" not in r]
    return [step for step, _ in pairs], [value for _, value in pairs]


def open_mirror(name: str, directory: Path) -> Mirror:
    """The mirror called `name`: "tensorboard" writes event files beside the log, "wandb" sends to its
    service.

    Differs: what wandb was sent it keeps. After a run was killed and resumed it still shows the steps that were done
    twice as they were the first time; the log itself, and TensorBoard, show them as they are.

    Raises:
        ConfigError: another name, or a package that is not installed.
    """
    kinds: dict[str, type[_TensorBoard] | type[_Wandb]] = {"tensorboard": _TensorBoard, "wandb": _Wandb}
    if name not in kinds:
        raise ConfigError(f"there is no log mirror {name!r}; known: {', '.join(kinds)}")
    try:
        return kinds[name](directory)
    except ImportError as error:
        raise ConfigError(
            f"the log mirror {name!r} needs a package that is not installed ({error}); "
            "add the extra `logs`: uv sync --extra logs"
        ) from error


class _TensorBoard:
    def __init__(self, directory: Path):
        from torch.utils.tensorboard import SummaryWriter

        self._open, self._place = SummaryWriter, str(directory / "tensorboard")
        self._writer = SummaryWriter(self._place)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, step)

    def forget_after(self, step: int) -> None:
        self._writer.close()
        self._writer = self._open(self._place, purge_step=step + 1)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, directory: Path):
        import wandb

        self._run = wandb.init(dir=str(directory), name=directory.name, id=directory.name, resume="allow")

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def forget_after(self, step: int) -> None:
        print(
            f"wandb keeps what it was sent of the steps after {step}; the log has them anew", file=sys.stderr
        )

    def close(self) -> None:
        self._run.finish()


def _plain(value: Any) -> Any:
    """A JSON value: 0-d tensors become numbers, numbers that are not finite become words."""
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if not isinstance(value, (list, tuple, Mapping)):
        value = float(value)
        return value if math.isfinite(value) else str(value)
    raise TypeError(f"a metric is one number, not {type(value).__name__}")
