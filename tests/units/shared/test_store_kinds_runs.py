"""A sweep's table comes back as it was written; what the machine did is no part of its digest."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import DataError
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import read_runs, write_runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def save(
    store: Store,
    rows: list[dict[str, Any]],
    curves: dict[str, list[dict[str, Any]]],
    config: dict[str, Any] | None = None,
) -> Artifact:
    with store.draft("Runs", config=config or {}, parents={}) as draft:
        write_runs(draft, rows, curves)
    return store.open(draft.artifact.digest, "Runs")


counter = itertools.count()
keys = st.sampled_from(["step", "loss_nats", "tokens_per_second", "step_seconds", "memory_bytes", "é"])
values = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a\u2028b"])
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in ("nan", "inf", "-inf")
)
records = st.dictionaries(keys, values, max_size=4)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.dictionaries(names, records, min_size=1, max_size=4), curve=st.lists(records, max_size=4))
def test_rows_and_curves_come_back_in_order(store, table, curve):
    rows = [{"run": name, **record} for name, record in table.items()]
    first = rows[0]["run"]
    # of equal digests the store keeps the first, with its own measurements: each example is another sweep
    another = {"sweep": next(counter)}
    read_rows, read_curves = read_runs(save(store, rows, {first: curve}, another))
    assert read_rows == rows
    assert read_curves == {name: curve if name == first else [] for name in table}


def test_what_is_measured_lies_outside_the_digest(store):
    def sweep(rate: float) -> Artifact:
        row = {"run": "one", "loss_nats": 2.0, "tokens_per_second": rate, "seconds": rate}
        return save(store, [row], {"one": [{"step": 1, "loss_nats": 3.0, "step_seconds": rate}]})

    slow, fast = sweep(1.0), sweep(9.0)
    assert slow.digest == fast.digest
    rows, curves = read_runs(slow)
    assert (rows[0]["seconds"], curves["one"][0]["step_seconds"]) == (1.0, 1.0)
    other = save(store, [{"run": "one", "loss_nats": 2.5}], {})
    assert other.digest != slow.digest


def test_a_diverged_run_keeps_its_numbers(store):
    rows = [{"run": "high", "loss_nats": math.inf}]
    curves = {"high": [{"step": 7, "loss_nats": math.nan, "low": -math.inf, "tokens_per_second": math.nan}]}
    read_rows, read_curves = read_runs(save(store, rows, curves))
    assert read_rows[0]["loss_nats"] == math.inf
    assert math.isnan(read_curves["high"][0]["loss_nats"])
    assert read_curves["high"][0]["low"] == -math.inf
    assert math.isnan(read_curves["high"][0]["tokens_per_second"])


@pytest.mark.parametrize(
    ("rows", "curves", "message"),
    [
        ([], {}, "without runs"),
        ([{"loss_nats": 1.0}], {}, "`run` is None"),
        ([{"run": "a"}, {"run": "a"}], {}, "no other row has"),
        ([{"run": "a"}], {"b": []}, "'b', which is no run"),
    ],
)
def test_runs_refuse(store, rows, curves, message):
    with pytest.raises(DataError, match=message):
        save(store, rows, curves)
    assert store.list() == []
