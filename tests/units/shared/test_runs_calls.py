"""What runs cost as they grow in number and length, counted in calls."""

import json
import os
import tracemalloc

import numpy as np
import pytest

from shared.runs.compare import find_runs
from shared.runs.runlog import RunLog, read_log
from shared.runs.tasks import Task, run_tasks
from shared.store.artifacts import Store
from shared.store.kinds import ShardWriter, read_shards
from shared.store.kinds.records import write_run_log
from tests.units.shared.call_counts import LINEAR, calls_ratio


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch):
    """Nothing here is about surviving power cuts, and waiting for the disk takes a minute."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_finding_tasks_done_is_linear(tmp_path):
    def prepare(count):
        tasks = [Task(f"task-{number}") for number in range(count)]
        work = lambda task, folder: (folder / "out").write_text("x")  # noqa: E731
        return lambda: run_tasks(tasks, work, tmp_path / str(count), code="one")

    assert calls_ratio(prepare) < LINEAR


def test_reading_a_log_is_linear(tmp_path):
    def prepare(count):
        path = tmp_path / f"{count}.jsonl"
        path.write_text((json.dumps({"step": 1, "loss_nats": 2.5}) + "\n") * count)
        return lambda: read_log(path)

    assert calls_ratio(prepare) < LINEAR


def test_a_long_log_is_opened_without_being_read(tmp_path):
    """Reading it would take one call, so memory is the witness."""
    path = tmp_path / "log.jsonl"
    path.write_bytes((b"x" * 99 + b"\n") * 50_000)
    tracemalloc.start()
    try:
        RunLog(path).close()
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 10
    finally:
        tracemalloc.stop()


def test_comparing_runs_with_published_ones_is_linear(tmp_path):
    """Every run lies in its directory and in the store: each pair was once compared."""

    def prepare(count):
        runs, store = tmp_path / f"runs-{count}", Store(tmp_path / f"store-{count}")
        for number in range(count):
            folder = runs / f"run-{number}"
            folder.mkdir(parents=True)
            (folder / "log.jsonl").write_text(json.dumps({"step": 1, "loss_nats": 2.5}) + "\n")
            (folder / "config.json").write_text(json.dumps({"seed": number}))
            with store.draft("RunLog", config={}, parents={}) as draft:
                write_run_log(draft, folder / "log.jsonl", {"seed": number})

        def work():
            assert len(find_runs(runs, store.root)) == count

        return work

    assert calls_ratio(prepare) < LINEAR


def test_shards_of_many_files_are_opened_in_linear_time(tmp_path):
    def prepare(count):
        store = Store(tmp_path / str(count))
        with (
            store.draft("Shards", config={}, parents={}) as draft,
            ShardWriter(draft, vocab_size=2, end_of_text_id=0, shard_tokens=1) as writer,
        ):
            writer.write("train", np.zeros(count, dtype=np.uint16))
        return lambda: read_shards(draft.artifact).tokens("train")

    assert calls_ratio(prepare) < LINEAR
