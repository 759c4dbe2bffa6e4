"""The figure of a roofline: what operations reach, under what memory and arithmetic allow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from shared.report.plots import (
    FONT_POINTS,
    HEIGHT_INCHES,
    NUM_SERIES_COLOURS,
    PALETTE,
    STYLE,
    WIDTH_INCHES,
    place_labels,
    save,
    short_number,
)

_LIFT_POINTS = 2.0  # of a text over its line


@dataclass(frozen=True)
class Point:
    """One operation."""

    name: str
    intensity: float  # FLOPs for each byte
    flops_per_second: float
    fraction: float  # of what is possible at this intensity


def draw_roofline(
    path: Path,
    flops_per_second: float,
    bytes_per_second: float,
    points: Sequence[Point],
    *,
    width_inches: float = WIDTH_INCHES,
) -> Path:
    """Rates over intensities under the two roofs, each operation named; saved as PNG and SVG, returns the PNG."""
    ridge = flops_per_second / bytes_per_second
    left = min([ridge, *(each.intensity for each in points)]) / 4
    right = max([ridge, *(each.intensity for each in points)]) * 4
    muted = PALETTE["muted"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_inches, HEIGHT_INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(left, right)
        roof = [left * bytes_per_second, flops_per_second, flops_per_second]
        axes.plot([left, ridge, right], roof, color=muted, linewidth=1.6)
        labels = []
        for order, each in enumerate(points):
            colour, rate = PALETTE[f"series-{order % NUM_SERIES_COLOURS}"], each.flops_per_second
            # to the right of what lies under the roof there is no roof: a label there cannot cross it
            axes.plot([each.intensity, right], [rate, rate], color=colour, linewidth=0.7, alpha=0.35)
            axes.plot([each.intensity], [rate], "o", color=colour, markersize=6, clip_on=False)
            labels.append((f"{each.name}, {each.fraction:.0%}", rate, colour))
        axes.set_ylim(top=flops_per_second * 2.2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value / 1e9)))
        axes.tick_params(axis="y", which="minor", length=0)
        axes.set_xlabel("FLOPs for each byte moved")
        title = "GFLOP/s, and the share of what is possible here"
        axes.set_title(title, loc="left", fontsize=FONT_POINTS, color=muted)
        figure.draw_without_rendering()  # settles the layout, so that labels can be spread in points
        place_labels(axes, labels, right)
        figure.draw_without_rendering()  # makes room for the labels
        figure.set_layout_engine("none")
        product = short_number(float(f"{flops_per_second / 1e9:.3g}"))
        _write_along(
            axes, (ridge, flops_per_second), (right, flops_per_second), f"product: {product} GFLOP/s"
        )
        start, end = _widest_gap(
            [left, *(each.intensity for each in points if each.intensity < ridge), ridge]
        )
        slope = ((start, start * bytes_per_second), (end, end * bytes_per_second))
        _write_along(axes, *slope, f"copy: {bytes_per_second / 1e9:.3g} GB/s")
        return save(figure, path)


def _write_along(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str) -> None:
    """A text on the middle of a line of the figure, in its direction."""
    (x, y), (far_x, far_y) = (axes.transData.transform(point) for point in (start, end))
    middle = axes.transData.inverted().transform(((x + far_x) / 2, (y + far_y) / 2))
    slant = math.atan2(far_y - y, far_x - x)
    axes.annotate(
        text,
        tuple(middle),
        xytext=(-_LIFT_POINTS * math.sin(slant), _LIFT_POINTS * math.cos(slant)),
        textcoords="offset points",
        rotation=math.degrees(slant),
        rotation_mode="anchor",
        ha="center",
        va="bottom",
        color=PALETTE["muted"],
    )


def _widest_gap(places: Sequence[float]) -> tuple[float, float]:
    """The two neighbours that are furthest apart on a logarithmic axis."""
    ordered = sorted(places)
    return max(pairwise(ordered), key=lambda pair: pair[1] / pair[0])
