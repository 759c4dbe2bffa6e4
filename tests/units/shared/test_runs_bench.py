"""Benches: outputs first, interleaved rounds, a control, and a table that replaces itself."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from shared.errors import ConfigError
from shared.runs.bench import (
    Bench,
    BenchConfig,
    BenchResult,
    Spread,
    bench_programs,
    main,
    measure,
    run_benches,
    table,
    write_table,
)


class Work:
    """A clock and callables that move it: time without waiting."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def taking(self, seconds, name, output=7):
        def call():
            self.calls.append(name)
            self.now += seconds() if callable(seconds) else seconds
            return output

        return call

    def bench(self, baseline, candidate, compare=lambda a, b: a == b, **more):
        return Bench("work", self.taking(baseline, "A"), self.taking(candidate, "B"), compare, **more)


def test_the_ratio_is_baseline_time_over_candidate_time():
    work = Work()
    result = measure(work.bench(3.0, 2.0), rounds=5, clock=work)
    assert result.ratio == Spread(1.5, 1.5, 1.5)
    assert result.control == Spread(1.0, 1.0, 1.0)
    assert result.candidate_seconds == Spread(2.0, 2.0, 2.0)
    assert result.doubt == ""


def test_rounds_are_interleaved_and_turn():
    work = Work()
    measure(work.bench(1.0, 1.0), rounds=3, warmup_rounds=1, clock=work)
    assert "".join(work.calls) == "AB" + "AB" + "ABA" + "BAA" + "AAB"


def test_a_machine_that_slows_down_does_not_change_the_ratio():
    work = Work()
    baseline, candidate = (lambda: 1.0 + work.now * 1e-3), (lambda: 0.5 * (1.0 + work.now * 1e-3))
    result = measure(work.bench(baseline, candidate), rounds=12, clock=work)
    assert result.ratio is not None
    assert result.ratio.median == pytest.approx(2.0, rel=0.02)


def test_equal_work_is_within_noise():
    work, noise = Work(), random.Random(0)
    jitter = lambda: 1.0 + 0.1 * noise.random()  # noqa: E731
    result = measure(work.bench(jitter, jitter), rounds=15, clock=work)
    assert result.doubt == "within noise"
    assert "within noise" in table("x", [result])


def test_a_ratio_whose_control_strays_counts_for_nothing():
    """Whatever disturbed one baseline of each round may have disturbed the candidate, to either side."""
    work = Work()
    result = measure(work.bench(7.0, 1.0), rounds=3, clock=work)
    strayed = dataclasses.replace(result, control=Spread(0.52, 0.32, 1.0))
    assert strayed.doubt == "control strays: measure again"
    assert "7.00 (7.00 to 7.00), control strays" in table("x", [strayed])


def test_a_control_bounds_noise_to_both_sides():
    work = Work()
    result = measure(work.bench(1.05, 1.0), rounds=3, clock=work)
    assert result.doubt == ""
    low_control = dataclasses.replace(result, control=Spread(0.95, 0.94, 0.96))
    assert low_control.doubt == "within noise"


@pytest.mark.parametrize(
    "compare",
    [
        lambda a, b: a == b,
        np.testing.assert_array_equal,
        lambda a, b: "they differ",
        lambda a, b: 0,
    ],
)
def test_outputs_that_differ_give_no_ratio(compare):
    work = Work()
    bench = Bench("work", work.taking(1.0, "A", 7.0), work.taking(1.0, "B", 8.0), compare)
    result = measure(bench, clock=work)
    assert result.difference
    assert result.ratio is None
    assert work.calls == ["A", "B"]
    assert "outputs differ" in table("x", [result])


def test_outputs_that_agree_by_assertion_or_by_true_are_timed():
    work = Work()
    for compare in (lambda a, b: None, lambda a, b: True):
        assert measure(work.bench(1.0, 1.0, compare), rounds=3, clock=work).ratio is not None


def test_too_few_rounds_are_refused():
    with pytest.raises(ConfigError, match="wanted 3 or more"):
        measure(Work().bench(1.0, 1.0), rounds=2)


def test_the_device_is_waited_for_on_both_sides_of_every_call():
    work, waits = Work(), []
    measure(work.bench(1.0, 1.0, synchronize=lambda: waits.append(len(work.calls))), rounds=3, clock=work)
    assert len(waits) == 2 * 3 * 3


def test_spread_are_quartiles():
    assert Spread.of([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)


def test_a_row_states_time_and_rate_and_the_head_machine_and_versions():
    work = Work()
    bench = work.bench(0.5, 0.25, work=100.0, work_unit="MB", candidate_name="ours", baseline_name="theirs")
    text = table("tokenizers", [measure(bench, rounds=3, clock=work)], "make bench")
    assert (
        "| work | ours | theirs | 2.00 (2.00 to 2.00) | 1.00 (1.00 to 1.00) | 250 ms = 400 MB/s | 3 |" in text
    )
    assert f"torch {torch.__version__}" in text
    assert "`make bench`" in text


def test_a_table_replaces_itself_and_leaves_the_rest(tmp_path):
    path = tmp_path / "docs" / "benchmarks.md"
    write_table("one", "old numbers", path)
    write_table("two", "second", path)
    page = path.read_text()
    path.write_text(page + "\nwords by hand\n")
    write_table("one", "third", path)
    assert path.read_text() == page.replace("old numbers", "third") + "\nwords by hand\n"
    assert page.startswith("# Benchmarks")


def test_a_missing_end_marker_is_named_and_nothing_is_overwritten(tmp_path):
    path = tmp_path / "benchmarks.md"
    path.write_text("<!-- bench one: begin -->\nold\n")
    with pytest.raises(ConfigError, match="bench one: end"):
        write_table("one", "new", path)
    assert "old" in path.read_text()


def test_run_benches_stores_the_table_and_fails_when_outputs_differ(tmp_path, capsys):
    path = tmp_path / "benchmarks.md"
    same = Bench("same", lambda: 1, lambda: 1, lambda a, b: a == b)
    other = Bench("other", lambda: 1, lambda: 2, lambda a, b: a == b)
    assert run_benches("suite", [same], rounds=3, path=path) == 0
    assert run_benches("suite", [same, other], rounds=3, path=path) == 1
    assert capsys.readouterr().out.strip() in path.read_text() or "outputs differ" in path.read_text()
    assert path.read_text().count("## suite") == 1


def test_programs_are_found_by_name(tmp_path, monkeypatch, capsys):
    for name in (
        "a1_basics/run/bench_tokenizers.py",
        "a1_basics/run/train_lm.py",
        "shared/store/bench_publish.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert bench_programs(tmp_path) == ["a1_basics.run.bench_tokenizers", "shared.store.bench_publish"]
    monkeypatch.chdir(tmp_path)
    assert main(BenchConfig(list=True, only=("publish",))) == 0
    assert capsys.readouterr().out == "shared.store.bench_publish\n"
    with pytest.raises(ConfigError, match="no bench program matches"):
        main(BenchConfig(only=("nothing",)))


def test_no_numbers_without_measurement():
    assert BenchResult(Work().bench(1.0, 1.0), 3, difference="x").doubt == "not measured"


def test_what_prepares_a_call_comes_before_each_one_and_is_not_timed():
    said: list[str] = []
    bench = Bench(
        "cold",
        lambda: said.append("call"),
        lambda: said.append("call"),
        lambda wanted, got: True,
        prepare=lambda: said.append("prepare"),
    )
    ticks = iter(range(1000))

    def clock() -> float:
        said.append("clock")
        return float(next(ticks))

    measure(bench, rounds=3, clock=clock)
    assert said[:8] == ["prepare", "call"] * 4  # compared, then warmed up
    assert said[8:] == ["prepare", "clock", "call", "clock"] * 9
