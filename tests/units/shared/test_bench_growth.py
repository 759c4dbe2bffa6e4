"""The growth benchmark: every work does its work at its smallest size; the table and the figure land in docs."""

import os
from itertools import chain

import pytest

from shared.report.growth_figure import growth_figure
from shared.runs import bench_growth
from shared.runs.bench import bench_programs
from shared.runs.growth import CONSTANT, LINEAR, Grown, Growth, fit_growth, grid

KINDS = (
    bench_growth.store_growths,
    bench_growth.task_growths,
    bench_growth.shard_growths,
    bench_growth.encoding_growths,
    bench_growth.log_growths,
    bench_growth.story_growths,
)
LARGEST_PICTURE_BYTES = 150_000  # it lies in the repository, and each new one stays there for good


def measured(group: str, name: str, expected: float) -> Grown:
    sizes = grid(10, 10_000)
    costs = tuple(1e-3 + 1e-5 * size**expected for size in sizes)
    growth = Growth(group, name, "items", sizes, lambda size, folder: lambda: None, expected, "why")
    return Grown(growth, 5, costs, costs, fit_growth(sizes, costs))


RESULTS = [
    measured(f"group {group}", name, expected)
    for group in range(8)
    for name, expected in (("constant", CONSTANT), ("linear", LINEAR), ("worse", 1.5))
]


def test_make_bench_finds_it():
    assert "shared.runs.bench_growth" in bench_programs()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_work_is_done_twice_at_its_smallest_size(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # nothing here is about power cuts
    for number, growth in enumerate(kind(tmp_path)):
        own = tmp_path / f"own-{number}"
        own.mkdir()
        assert growth.sizes[-1] >= 1000 * growth.sizes[0], growth.name
        work = growth.prepare(growth.sizes[0], own)
        work()
        work()  # it is timed many times: nothing may be in its own way


def test_the_groups_and_names_are_those_of_one_row_each(tmp_path):
    labels = [(each.group, each.name) for each in chain.from_iterable(kind(tmp_path) for kind in KINDS)]
    assert len(set(labels)) == len(labels)


def test_the_figure_repeats_to_the_byte_and_is_small(tmp_path):
    first = growth_figure(tmp_path / "a.png", RESULTS)
    assert first.read_bytes() == growth_figure(tmp_path / "b.png", RESULTS).read_bytes()
    assert first.stat().st_size < LARGEST_PICTURE_BYTES


def test_table_and_figure_land_in_docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench_growth.publish_results(RESULTS, "load 0.1")
    page = (tmp_path / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert "(images/growth.png)" in page
    assert "the least of 5 at each size; load 0.1`" in page
    row = "| group 3: linear | 10 to 10,000 items | n^1.00 ± 0.00 | linear: why | as predicted "
    assert row + "| 1 ms | 101 ms (median 101 ms) |" in page
    assert (tmp_path / "docs/images/growth.png").is_file()


def test_what_grows_faster_than_predicted_fails(tmp_path, monkeypatch, capsys):
    def growths(expected):
        def prepare(size, folder):
            return lambda: sum(range(size))

        return lambda folder: iter(
            [Growth("group", "name", "numbers", grid(3_000, 3_000_000), prepare, expected, "why")]
        )

    monkeypatch.chdir(tmp_path)
    for kind in KINDS[1:]:
        monkeypatch.setattr(bench_growth, kind.__name__, lambda folder: iter([]))
    for expected, status in ((LINEAR, 0), (CONSTANT, 1)):
        monkeypatch.setattr(bench_growth, "store_growths", growths(expected))
        assert bench_growth.main(bench_growth.BenchGrowth(repeats=3, only=("name",))) == status
    assert not (tmp_path / "docs").exists(), "a part of the table would replace the whole"
    assert "grows faster" in capsys.readouterr().out
