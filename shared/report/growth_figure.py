"""Cost against size as small multiples, both axes logarithmic: a slope is an exponent."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from PIL import Image

from shared.report.plots import PALETTE, PNG_DPI, STYLE, WIDTH_INCHES, place_labels, short_number
from shared.runs.growth import Grown, cost_text

_COLUMNS = 2
_PANEL_HEIGHT_INCHES = 1.95
_SMALL_POINTS = 7.5
_SMALLEST_RANGE = 1000  # of costs on an axis: noise of a few percent must not fill a panel
_NUM_COLOURS = 64


def growth_figure(path: Path, results: Sequence[Grown]) -> Path:
    """Draw one panel for each group of growths, lines of slope 1 behind them; returns the PNG."""
    groups: dict[str, list[Grown]] = {}
    for grown in results:
        groups.setdefault(grown.growth.group, []).append(grown)
    num_rows = -(-len(groups) // _COLUMNS)
    style: dict[Any, Any] = {"axes.grid": False, "axes.spines.left": True, "font.size": _SMALL_POINTS}
    style |= {"xtick.labelsize": _SMALL_POINTS, "ytick.labelsize": _SMALL_POINTS}
    with mpl.rc_context(STYLE | style):
        figure = Figure(figsize=(WIDTH_INCHES, num_rows * _PANEL_HEIGHT_INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(num_rows, _COLUMNS, squeeze=False).ravel()
        for axes, (group, members) in zip(grid, groups.items(), strict=False):
            _panel(axes, group, members)
        for axes in grid[len(groups) :]:
            axes.set_visible(False)
        figure.draw_without_rendering()
        for axes, members in zip(grid, groups.values(), strict=False):
            ends = [
                (f"{grown.growth.name}  {_power(grown)}", grown.costs[-1], PALETTE[f"series-{order}"])
                for order, grown in enumerate(members)
            ]
            place_labels(axes, ends, max(grown.growth.sizes[-1] for grown in members))
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=PNG_DPI, facecolor=PALETTE["paper"], metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    # A few flat colours and their edges: a palette takes a quarter of the bytes, and the eye sees no difference.
    few = Image.open(drawn).convert("RGB").quantize(_NUM_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return path


def _panel(axes: Axes, group: str, members: Sequence[Grown]) -> None:
    sizes = [size for grown in members for size in grown.growth.sizes]
    costs = [cost for grown in members for cost in grown.costs]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(sizes), max(sizes))
    room = max(2.0, np.sqrt(_SMALLEST_RANGE * min(costs) / max(costs)))
    low, high = min(costs) / room, max(costs) * room
    axes.set_ylim(low, high)
    ends = np.array([min(sizes), max(sizes)], dtype=float)
    for power in np.arange(
        np.floor(np.log10(low / ends[1])), np.log10(high / ends[0]) + 1
    ):  # one each decade
        axes.plot(ends, 10**power * ends, color=PALETTE["grid"], linewidth=0.8, zorder=0)
    for order, grown in enumerate(members):
        colour = PALETTE[f"series-{order}"]
        line = np.geomspace(grown.growth.sizes[0], grown.growth.sizes[-1], 50)
        axes.plot(line, [grown.fit.at(size) for size in line], color=colour, linewidth=1.1)
        axes.plot(
            grown.growth.sizes, grown.costs, "o", color=colour, markersize=3, clip_on=False, linestyle="none"
        )
    cost = members[0].growth.cost
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.yaxis.set_major_locator(LogLocator(10, numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: cost_text(value, cost)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    axes.set_title(group, loc="left", fontsize=_SMALL_POINTS + 1, fontweight="bold", pad=4)
    axes.set_xlabel("n, in " + " or ".join(dict.fromkeys(grown.growth.unit for grown in members)))


def _power(grown: Grown) -> str:
    return f"$n^{{{round(grown.fit.exponent, 2) + 0.0:.2f}}}$"  # 0.0: no minus before a zero
