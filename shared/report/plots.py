"""One house style for every figure: few marks, direct labels instead of legends, baselines named where they lie.

A figure is saved as PNG and as SVG. `inline_svg` turns the SVG's colours into CSS variables, so that on a page it
follows the reader's light or dark theme. Equal data give equal bytes.

matplotlib's object interface only: no global state, no display, safe in threads.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

# Names are those of the pages' CSS variables. The six series colours stay apart for colour-blind readers and in print.
PALETTE = {
    "ink": "#23252b",
    "muted": "#6d717a",
    "grid": "#e5e2db",
    "paper": "#fdfcfa",
    "series-0": "#1d63a8",
    "series-1": "#c4512d",
    "series-2": "#23856a",
    "series-3": "#7a569f",
    "series-4": "#b07c12",
    "series-5": "#5f6b2d",
}
NUM_SERIES_COLOURS = 6
WIDTH_INCHES, HEIGHT_INCHES, PNG_DPI = 7.2, 3.9, 200
_REACH_HALF_LIVES = 6  # beyond, a neighbour counts less than 2 %
NARROW_INCHES = 4.2  # for phones, and for two figures side by side
FONT_POINTS, LABEL_GAP_POINTS = 9.0, 11.5
STYLE: dict[Any, Any] = {
    "font.size": FONT_POINTS,
    "font.family": "sans-serif",
    "text.color": PALETTE["ink"],
    "axes.edgecolor": PALETTE["muted"],
    "axes.labelcolor": PALETTE["muted"],
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": PALETTE["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "xtick.labelsize": FONT_POINTS - 0.5,
    "ytick.labelsize": FONT_POINTS - 0.5,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "xtick.minor.size": 1.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "shared.report.plots",
    "path.simplify": True,
}


@dataclass(frozen=True)
class Curve:
    """One line: what is measured, and where it was measured."""

    label: str  # empty: none is written
    x: Sequence[float]
    y: Sequence[float]
    is_noisy: bool = False  # drawn faint, with its running mean on top
    has_points: bool = False  # few measurements: each is marked
    colour: int | None = None  # index into the series colours; None: by order
    opacity: float = (
        1.0  # of the line, not of its label: one colour from light to dark for curves that are in order
    )


@dataclass(frozen=True)
class Baseline:
    """A level to compare with, such as the counted bigram or the entropy floor."""

    label: str
    y: float
    is_floor: bool = False  # nothing can go below: the region under it is shaded


def loss_curves(
    path: Path,
    curves: Sequence[Curve],
    baselines: Sequence[Baseline] = (),
    *,
    y_label: str = "loss, nats per token",
    x_label: str = "optimizer step",
    log_x: bool = False,
    log_y: bool = False,
    title: str = "",
    height_inches: float = HEIGHT_INCHES,
    width_inches: float = WIDTH_INCHES,
) -> Path:
    """Draw curves over one axis, each labelled at its end, and save `path` as .png and .svg; returns the PNG.

    Raises:
        ValueError: no curve has a finite point.
    """
    finite = [cleaned(curve, log_x=log_x, log_y=log_y) for curve in curves]
    drawn = [curve for curve in finite if len(curve.x)]
    if not drawn:
        raise ValueError(f"nothing to draw in {path.name}: none of {len(curves)} curves has a finite point")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        FigureCanvasAgg(figure)  # a figure draws on the canvas that it was given
        axes = figure.add_subplot()
        labels = [draw_curve(axes, curve, order) for order, curve in enumerate(drawn)]
        left, right = min(min(curve.x) for curve in drawn), max(max(curve.x) for curve in drawn)
        if log_x:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if right < 1000 * left else (1,)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if log_y:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        if left < right:
            axes.set_xlim(left, right)
        levels = [baseline.y for baseline in baselines]
        set_y_limits(axes, drawn, levels, log_y=log_y)
        labels += [draw_baseline(axes, baseline) for baseline in baselines]
        labels = [label for label in labels if label[0]]
        axes.set_xlabel(x_label)
        axes.set_title(y_label, loc="left", fontsize=FONT_POINTS, color=PALETTE["muted"], pad=4)
        heading = (
            figure.suptitle(title, ha="left", fontsize=FONT_POINTS + 3, fontweight="bold") if title else None
        )
        figure.draw_without_rendering()  # settles the layout, so that labels can be spread in points
        if heading is not None:
            heading.set_x(axes.get_position().x0)
        place_labels(axes, labels, right)
        figure.draw_without_rendering()  # makes room for the labels
        figure.set_layout_engine("none")
        return save(figure, path)


def cleaned(curve: Curve, *, log_x: bool, log_y: bool) -> Curve:
    """The curve's points that the axes can show: finite, and positive where the axis is logarithmic."""
    points = [
        (float(x), float(y))
        for x, y in zip(curve.x, curve.y, strict=True)
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)
    ]
    x, y = [point[0] for point in points], [point[1] for point in points]
    return dataclasses.replace(curve, x=x, y=y)


def running_mean(values: Sequence[float], half_life: float) -> list[float]:
    """Mean around each value; a neighbour `half_life` places away, before or after, counts half.

    Both sides count, so a falling curve is not shown higher than it is. At the beginning, where a loss falls fastest,
    no more of what comes after counts than of what came before: the first value stands for itself.

    >>> [round(value, 2) for value in running_mean([1.0, 3.0, 3.0], half_life=1)]
    [1.0, 2.5, 2.71]
    """
    row = np.asarray(values, dtype=np.float64)
    far = math.ceil(_REACH_HALF_LIVES * half_life)
    weights = 0.5 ** (np.abs(np.arange(-far, far + 1)) / half_life)
    means = []
    for place in range(len(row)):
        before, after = min(place, far), min(place, far, len(row) - 1 - place)
        near = weights[far - before : far + after + 1]
        means.append(float(near @ row[place - before : place + after + 1] / near.sum()))
    return means


def draw_curve(axes: Axes, curve: Curve, order: int) -> tuple[str, float, str]:
    """Draw one curve; returns its label, the height of its end and its colour."""
    colour = PALETTE[f"series-{(order if curve.colour is None else curve.colour) % NUM_SERIES_COLOURS}"]
    y = curve.y
    if curve.is_noisy and len(y) > 8:
        axes.plot(curve.x, y, color=colour, linewidth=0.8, alpha=0.3)
        y = running_mean(y, half_life=max(1.0, len(y) / 80))
    style = {"marker": "o", "markersize": 4, "markerfacecolor": colour} if curve.has_points else {}
    axes.plot(
        curve.x,
        y,
        color=colour,
        alpha=curve.opacity,
        linewidth=1.8,
        solid_capstyle="round",
        clip_on=False,
        **style,
    )
    return curve.label, y[-1], colour


def draw_baseline(axes: Axes, baseline: Baseline) -> tuple[str, float, str]:
    """Draw one level; returns its label, height and colour."""
    axes.axhline(baseline.y, color=PALETTE["muted"], linewidth=1.1, linestyle=(0, (4, 3)))
    if baseline.is_floor:
        low = axes.get_ylim()[0]
        axes.axhspan(low, baseline.y, color=PALETTE["grid"], alpha=0.55, linewidth=0)
    return baseline.label, baseline.y, PALETTE["muted"]


def set_y_limits(axes: Axes, curves: Iterable[Curve], levels: Sequence[float], *, log_y: bool) -> None:
    """Room for every point and level, and a little air below the lowest, so that a floor's shade is seen."""
    values = [value for curve in curves for value in curve.y] + list(levels)
    low, high = min(values), max(values)
    if log_y:
        axes.set_ylim(low / 1.15, high * 1.1)
    else:
        span = (high - low) or abs(high) or 1.0
        axes.set_ylim(low - 0.08 * span, high + 0.04 * span)


def place_labels(axes: Axes, labels: Sequence[tuple[str, float, str]], right: float) -> None:
    """Write each label beside the right end of its line, moved up or down just enough not to touch another."""
    points_per_pixel = 72 / axes.figure.dpi
    heights = [axes.transData.transform((right, y))[1] * points_per_pixel for _, y, _ in labels]
    low, high = (edge * points_per_pixel for edge in axes.get_window_extent().intervaly)
    spread = spread_apart(heights, LABEL_GAP_POINTS, low, high)
    for (label, y, colour), height, placed in zip(labels, heights, spread, strict=True):
        axes.annotate(
            label,
            (right, y),
            xytext=(7, placed - height),
            textcoords="offset points",
            color=colour,
            va="center",
            ha="left",
            annotation_clip=False,
        )


def spread_apart(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The nearest heights in the same order that lie at least `gap` apart, inside the range when it is wide enough.

    >>> spread_apart([5.0, 5.0, 30.0], gap=10, low=0, high=100)
    [0.0, 10.0, 30.0]
    """
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    groups: list[tuple[list[int], float]] = []  # indices that touch, and the height of the lowest
    for index in order:
        members, start = [index], heights[index]
        while groups and groups[-1][1] + gap * len(groups[-1][0]) > start:
            members = groups.pop()[0] + members
            start = sum(heights[each] - gap * rank for rank, each in enumerate(members)) / len(members)
            start = max(min(start, high - gap * (len(members) - 1)), low)
        groups.append((members, start))
    placed = [0.0] * len(heights)
    for members, start in groups:
        for rank, index in enumerate(members):
            placed[index] = start + gap * rank
    return placed


def short_number(value: float) -> str:
    """A tick's number in at most a few characters.

    >>> [short_number(value) for value in (0, 0.25, 600, 1500, 20000, 3e6)]
    ['0', '0.25', '600', '1.5k', '20k', '3M']
    """
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def save(figure: Figure, path: Path) -> Path:
    """Write the PNG and the SVG beside it, without dates or versions in them."""
    png, svg = path.with_suffix(".png"), path.with_suffix(".svg")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=PNG_DPI, facecolor=PALETTE["paper"], metadata={"Software": None})
    figure.savefig(svg, transparent=True, metadata={"Date": None, "Creator": None})
    return png


def inline_svg(path: Path, description: str) -> str:
    """The SVG as markup for a page: scaled to its column, colours as CSS variables, described for screen readers."""
    text = path.with_suffix(".svg").read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    for name, colour in PALETTE.items():
        text = text.replace(colour, f"var(--{name}, {colour})")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
