"""Figures: equal data give equal bytes, labels keep apart, bad points are left out and said to be."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.report.plots import PALETTE, Baseline, Curve, inline_svg, loss_curves, running_mean, spread_apart

CURVES = [Curve("training", range(1, 50), [5 / step for step in range(1, 50)], is_noisy=True)]
LEVELS = [Baseline("counted bigram", 3.0), Baseline("entropy floor", 0.05, is_floor=True)]


def test_png_and_svg_are_saved_and_repeat_to_the_byte(tmp_path: Path) -> None:
    first = loss_curves(tmp_path / "a.png", CURVES, LEVELS, log_x=True)
    second = loss_curves(tmp_path / "b.png", CURVES, LEVELS, log_x=True)
    assert first.read_bytes()[:4] == b"\x89PNG"
    assert first.read_bytes() == second.read_bytes()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_labels_stand_in_the_figure_as_text(tmp_path: Path) -> None:
    loss_curves(tmp_path / "a.png", CURVES, LEVELS, title="A & B")
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    for words in ("training", "counted bigram", "entropy floor", "optimizer step", "A &amp; B"):
        assert f">{words}</text>" in svg


def test_inline_svg_follows_the_page_and_says_what_it_shows(tmp_path: Path) -> None:
    path = loss_curves(tmp_path / "a.png", CURVES, LEVELS)
    svg = inline_svg(path, 'falls "fast" & <far>')
    assert svg.startswith('<svg role="img" aria-label="falls &quot;fast&quot; &amp; &lt;far>"')
    assert f"var(--series-0, {PALETTE['series-0']})" in svg
    assert "<?xml" not in svg
    assert "metadata" not in svg


def test_points_that_no_axis_can_show_are_left_out(tmp_path: Path) -> None:
    broken = Curve("broken", [0, 1, 2, 3], [1.0, math.nan, 2.0, math.inf])
    assert loss_curves(tmp_path / "a.png", [broken], log_x=True).exists()
    with pytest.raises(ValueError, match="none of 1 curves has a finite point"):
        loss_curves(tmp_path / "b.png", [Curve("nothing", [1], [math.nan])])


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_spread_labels_keep_their_order_and_distance(heights: list[float]) -> None:
    placed = spread_apart(heights, gap=10, low=0, high=100)
    assert len(placed) == len(heights)
    ordered = sorted(placed)
    assert all(right - left >= 10 - 1e-6 for left, right in pairwise(ordered))
    assert ordered[0] >= -1e-6
    assert ordered[-1] <= 100 + 1e-6
    by_height = [place for _, place in sorted(zip(heights, placed, strict=True))]
    assert by_height == sorted(by_height)


def test_labels_with_room_stay_where_they_are() -> None:
    assert spread_apart([10.0, 50.0, 30.0], gap=10, low=0, high=100) == [10.0, 50.0, 30.0]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0.5, 10))
def test_running_mean_stays_within_the_values_and_keeps_constants(
    values: list[float], half_life: float
) -> None:
    means = running_mean(values, half_life)
    assert all(min(values) - 1e-9 <= mean <= max(values) + 1e-9 for mean in means)
    assert running_mean([2.0] * 5, half_life) == pytest.approx([2.0] * 5)


def test_running_mean_does_not_lag_behind_a_straight_line() -> None:
    line = [float(step) for step in range(101)]
    assert running_mean(line, half_life=5)[:50] == pytest.approx(line[:50])
