"""The kind Runs: the table of a sweep, a row for each run and the curves behind it.

    runs.jsonl     a row each: {"run": "lr 1e-3", "max_learning_rate": 0.001, "validation_loss_nats": 3.1, …}
    curves.jsonl   a record each: {"run": "lr 1e-3", "step": 10, "loss_nats": 4.2, …}

`run` names the run; every other key ends with its unit. A run that diverged is a row like the others: numbers that are
not finite are kept as words and come back as numbers. What was measured of the machine (time, rate, memory) lies
under `measured/`, outside the digest, as in a RunLog.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.errors import DataError
from shared.store.artifacts import Artifact, Draft
from shared.store.kinds.records import is_measured
from shared.store.manifests import MEASURED

_ROWS, _CURVES = "runs.jsonl", "curves.jsonl"
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def write_runs(
    draft: Draft, rows: Sequence[Mapping[str, Any]], curves: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Write a row for each run, in order, and the records of those runs that have a curve.

    Raises:
        DataError: no rows, a row without a name of its own under `run`, or a curve that belongs to no row.
    """
    names: list[str] = []
    for row in rows:
        name = row.get("run")
        if not isinstance(name, str) or not name or name in names:
            raise DataError(f"a row's `run` is {name!r}; wanted a name that no other row has")
        names.append(name)
    if not names:
        raise DataError("a sweep without runs; wanted at least one row")
    for name in curves:
        if name not in names:
            raise DataError(f"there is a curve of {name!r}, which is no run; the runs are: {names}")
    _write(draft.path, _ROWS, rows)
    _write(
        draft.path,
        _CURVES,
        ({"run": name, **record} for name in names if name in curves for record in curves[name]),
    )


def read_runs(artifact: Artifact) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The rows, and the records of each run by its name (none for a run without a curve), with what was measured."""
    rows = [*_read(artifact, _ROWS)]
    curves: dict[str, list[dict[str, Any]]] = {row["run"]: [] for row in rows}
    for record in _read(artifact, _CURVES):
        curves[record.pop("run")].append(record)
    return rows, curves


def _write(folder: Path, name: str, records: Iterable[Mapping[str, Any]]) -> None:
    (folder / MEASURED).mkdir(exist_ok=True)
    with (
        (folder / name).open("w", encoding="utf-8") as kept,
        (folder / MEASURED / name).open("w", encoding="utf-8") as measured,
    ):
        for record in records:
            for file, is_wanted in ((kept, False), (measured, True)):
                part = {key: _plain(value) for key, value in record.items() if is_measured(key) == is_wanted}
                file.write(json.dumps(part, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def _read(artifact: Artifact, name: str) -> Iterator[dict[str, Any]]:
    kept = _lines(artifact.file(name))
    measured_name = f"{MEASURED}/{name}"
    if measured_name not in artifact.files:
        yield from kept
        return
    for one, other in zip(kept, _lines(artifact.file(measured_name)), strict=True):
        yield one | other


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield {key: _number(value) for key, value in json.loads(line).items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value
