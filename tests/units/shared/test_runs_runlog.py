"""Run logs: what is written is read back, torn and damaged lines are told apart, measured keys can be left out."""

import json
import math
import sys
import types

import pytest

from shared.errors import ConfigError
from shared.runs import runlog
from shared.runs.runlog import VOLATILE_KEYS, RunLog, comparable, open_mirror, read_log, series
from shared.store.kinds.records import is_measured


def written(path, *metrics, mirror=None):
    log = RunLog(path, mirror)
    for step, one in enumerate(metrics, 1):
        log.append(step, one)
    log.close()
    return path


def test_records_come_back_bit_for_bit(tmp_path):
    value = 0.1 + 0.2
    path = written(tmp_path / "log.jsonl", {"loss_nats": value}, {"loss_nats": 1e-300, "event": "spike"})
    assert read_log(path) == [
        {"step": 1, "loss_nats": value},
        {"step": 2, "loss_nats": 1e-300, "event": "spike"},
    ]


def test_numbers_that_are_not_finite_survive_as_valid_json(tmp_path):
    path = written(tmp_path / "log.jsonl", {"a": math.inf, "b": -math.inf, "c": math.nan})
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    (record,) = read_log(path)
    assert record["a"] == math.inf
    assert record["b"] == -math.inf
    assert math.isnan(record["c"])


def test_what_is_no_number_is_refused(tmp_path):
    log = RunLog(tmp_path / "log.jsonl")
    with pytest.raises(TypeError):
        log.append(1, {"losses": [1.0, 2.0]})
    log.close()


def test_a_torn_last_line_is_passed_over_and_not_glued_to(tmp_path):
    path = written(tmp_path / "log.jsonl", {"a": 1.0}, {"a": 2.0})
    path.write_bytes(path.read_bytes()[:-7])
    assert read_log(path) == [{"step": 1, "a": 1.0}]
    written(path, {"a": 3.0})
    assert [record["a"] for record in read_log(path)] == [1.0, 3.0]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = written(tmp_path / "log.jsonl", {"a": 1.0}, {"a": 2.0}, {"a": 3.0})
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], lines[1][:-3], *lines[2:]]))
    with pytest.raises(ConfigError, match=r"log\.jsonl:2"):
        read_log(path)


def test_a_log_that_is_not_there_says_how_to_find_one(tmp_path):
    with pytest.raises(ConfigError, match="make runs"):
        read_log(tmp_path / "log.jsonl")


def test_cut_goes_back_to_a_synced_size_and_counts_what_is_missing(tmp_path):
    log = RunLog(tmp_path / "log.jsonl")
    log.append(1, {"a": 1.0})
    size = log.sync()
    log.append(2, {"a": 2.0})
    assert log.cut(size, step=1) == 0
    log.append(2, {"a": 4.0})
    log.close()
    assert [record["a"] for record in read_log(log.path)] == [1.0, 4.0]
    log = RunLog(log.path)
    assert log.cut(10_000, step=1) == 10_000 - log.path.stat().st_size
    log.close()


def test_comparable_drops_measured_keys_alone():
    record = {"step": 1, "loss_nats": 2.0, "learning_rate": 0.1} | dict.fromkeys(VOLATILE_KEYS, 1.0)
    assert comparable([record]) == [{"step": 1, "loss_nats": 2.0, "learning_rate": 0.1}]


def test_the_store_agrees_on_what_is_measured():
    assert all(is_measured(key) for key in VOLATILE_KEYS)
    assert not any(is_measured(key) for key in ("loss_nats", "learning_rate", "gradient_norm"))


def test_series_leaves_events_out():
    records = [
        {"step": 1, "a": 1.0},
        {"step": 2, "event": "spike", "a": 9.0},
        {"step": 3, "a": 2.0},
        {"step": 4},
    ]
    assert series(records, "a") == ([1, 3], [1.0, 2.0])


def test_unknown_mirror_and_missing_package_name_the_mend(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="tensorboard, wandb"):
        open_mirror("tensorbored", tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(ConfigError, match="--extra logs"):
        open_mirror("wandb", tmp_path)


def test_a_mirror_gets_the_numbers_and_no_words(tmp_path, monkeypatch):
    seen = []

    class Fake:
        def __init__(self, directory):
            self.directory = directory

        def add(self, step, metrics):
            seen.append((step, metrics))

        def close(self):
            seen.append("closed")

    monkeypatch.setattr("shared.runs.runlog._TensorBoard", Fake)
    written(tmp_path / "log.jsonl", {"loss_nats": 1.0, "event": "spike"}, mirror="tensorboard")
    assert seen == [(1, {"loss_nats": 1.0}), "closed"]


def test_tensorboard_is_told_to_forget_the_steps_that_are_done_again(tmp_path, monkeypatch):
    said = []

    class SummaryWriter:
        def __init__(self, folder, purge_step=None):
            said.append(("open", purge_step))

        def add_scalar(self, key, value, step):
            said.append((key, step))

        def close(self):
            said.append("close")

    package = types.ModuleType("torch.utils.tensorboard")
    package.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", package)
    log = RunLog(tmp_path / "log.jsonl", "tensorboard")
    log.append(1, {"a": 1.0})
    size = log.sync()
    assert log.cut(size, step=1) == 0  # nothing was written since: nothing to forget
    log.append(2, {"a": 2.0})
    log.cut(size, step=1)
    log.append(2, {"a": 4.0})
    log.close()
    assert said == [("open", None), ("a", 1), ("a", 2), "close", ("open", 2), ("a", 2), "close"]


@pytest.mark.parametrize(
    "whole_bytes", [0, 1, runlog._TAIL_BYTES - 1, runlog._TAIL_BYTES, 3 * runlog._TAIL_BYTES]
)
@pytest.mark.parametrize("torn_bytes", [0, 1, runlog._TAIL_BYTES, 2 * runlog._TAIL_BYTES + 1])
def test_a_torn_line_of_any_length_goes_and_what_is_whole_stays(tmp_path, whole_bytes, torn_bytes):
    """The end is looked for in pieces; what was whole ends before, at and behind their bounds."""
    path = tmp_path / "log.jsonl"
    whole = b"x" * (whole_bytes - 1) + b"\n" if whole_bytes else b""
    path.write_bytes(whole + b"y" * torn_bytes)
    RunLog(path).close()
    assert path.read_bytes() == whole
