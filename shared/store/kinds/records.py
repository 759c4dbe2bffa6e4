"""The kinds that are records of what happened: RunLog, EvalReport, Samples, ResultCard, Report.

What a run measured of its machine (time, rate, memory) differs each time, so a RunLog keeps it in a file of
its own outside the digest; `read_run_log` puts the two together again.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shared.store.artifacts import Artifact, Draft
from shared.store.manifests import MEASURED

_LOG = "log.jsonl"
_MEASURED_ENDINGS = ("_seconds", "_per_second", "memory_bytes", "mfu_fraction")


def is_measured(key: str) -> bool:
    """Whether a metric measures the machine rather than the work: times, rates and memory.

    >>> [is_measured(key) for key in ("loss_nats", "tokens_per_second", "memory_bytes", "step_seconds")]
    [False, True, True, True]
    """
    return key in ("seconds", "time") or key.endswith(_MEASURED_ENDINGS)


def write_run_log(draft: Draft, log: Path | Iterable[dict[str, Any]], config: dict[str, Any]) -> None:
    """Write a run's log (a JSON Lines file or records) and its configuration."""
    records = _read_lines(log) if isinstance(log, Path) else log
    (draft.path / MEASURED).mkdir()
    with (
        (draft.path / _LOG).open("w", encoding="utf-8") as kept,
        (draft.path / MEASURED / _LOG).open("w", encoding="utf-8") as measured,
    ):
        for record in records:
            _write_line(kept, {key: value for key, value in record.items() if not is_measured(key)})
            _write_line(measured, {key: value for key, value in record.items() if is_measured(key)})
    _write_json(draft.path / "config.json", config)


def read_run_log(artifact: Artifact) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The run's configuration and its records, with what was measured."""
    config = json.loads(artifact.file("config.json").read_text(encoding="utf-8"))
    kept = [*_read_lines(artifact.file(_LOG))]
    measured_name = f"{MEASURED}/{_LOG}"
    if measured_name not in artifact.files:
        return config, kept
    measured = _read_lines(artifact.file(measured_name))
    return config, [one | other for one, other in zip(kept, measured, strict=True)]


def write_eval_report(draft: Draft, report: dict[str, Any]) -> None:
    """Write the numbers of an evaluation; measured times go to `draft.cost_seconds`, not here."""
    _write_json(draft.path / "report.json", report)


def read_eval_report(artifact: Artifact) -> dict[str, Any]:
    """The numbers of an evaluation."""
    return json.loads(artifact.file("report.json").read_text(encoding="utf-8"))


def write_samples(draft: Draft, samples: Iterable[dict[str, Any]]) -> None:
    """Write samples of a model, a record each (prompt, text, and how it was drawn)."""
    with (draft.path / "samples.jsonl").open("w", encoding="utf-8") as file:
        for sample in samples:
            _write_line(file, sample)


def read_samples(artifact: Artifact) -> list[dict[str, Any]]:
    """The samples, in order."""
    return [*_read_lines(artifact.file("samples.jsonl"))]


def write_result_card(draft: Draft, card: dict[str, Any], page: str) -> None:
    """Write a leaderboard's card: its numbers, and a short page for people."""
    _write_json(draft.path / "card.json", card)
    (draft.path / "card.md").write_text(page, encoding="utf-8")


def read_result_card(artifact: Artifact) -> dict[str, Any]:
    """What a card claims."""
    return json.loads(artifact.file("card.json").read_text(encoding="utf-8"))


def read_report(artifact: Artifact) -> Path:
    """The first page of a Report, to be opened in a browser; its other files lie beside it."""
    return artifact.file("index.html")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_line(file: Any, record: dict[str, Any]) -> None:
    file.write(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n")


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
