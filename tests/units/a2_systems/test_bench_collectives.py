"""The program that times all-reduces: every way in the table, the model beside it, and what it refuses."""

import dataclasses
import re

import pytest

from a2_systems.parallel.collectives import ALL_REDUCES
from a2_systems.run.bench_collectives import PRESETS, main
from shared.errors import ConfigError


def test_the_table_has_every_size_and_way_and_the_figure_is_there(tmp_path, capsys):
    config = dataclasses.replace(PRESETS["tiny"], rounds=1, folder=tmp_path)
    main(config)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    rows = [line for line in page.split("\n") if re.match(r"\| \d+ \|", line)]
    assert [row.split(" | ")[:2] for row in rows] == [["| 2", "0.001 MB"], ["| 2", "0.1 MB"]]
    assert all(len(re.findall(r"[\d.]+ (?:s|ms|µs) ", row)) == len(ALL_REDUCES) + 1 for row in rows)
    assert f"| {' | '.join(ALL_REDUCES)} |" in page
    assert (tmp_path / "images" / "collectives.png").stat().st_size > 10_000
    assert "explain the ring best: 2 ranks: " in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"ranks": (1, 2)}, {"rounds": 0}, {"tensor_bytes": (3,)}])
def test_what_cannot_be_timed_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match="two ranks or more"):
        main(dataclasses.replace(PRESETS["tiny"], folder=tmp_path, **wrong))
