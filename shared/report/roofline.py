"""The figure of a roofline: what operations reach, under what memory and arithmetic allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from shared.report.plots import FONT_POINTS, HEIGHT_INCHES, PALETTE, STYLE, WIDTH_INCHES, save, short_number


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
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_inches, HEIGHT_INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(left, right)
        roof = [left * bytes_per_second, flops_per_second, flops_per_second]
        axes.plot([left, ridge, right], roof, color=PALETTE["muted"], linewidth=1.6)
        axes.text(
            right,
            flops_per_second * 1.12,
            f"matrix product: {short_number(float(f'{flops_per_second / 1e9:.3g}'))} GFLOP/s",
            ha="right",
            color=PALETTE["muted"],
        )
        axes.text(
            ridge,
            flops_per_second * 1.12,
            f"copy: {bytes_per_second / 1e9:.3g} GB/s  ",
            ha="right",
            color=PALETTE["muted"],
        )
        for order, each in enumerate(points):
            colour = PALETTE[f"series-{order % 6}"]
            rate = each.flops_per_second
            is_right = each.intensity > (left * right) ** 0.5
            axes.plot([each.intensity], [rate], "o", color=colour, markersize=6)
            axes.annotate(
                f"{each.name}, {each.fraction:.0%}",
                (each.intensity, rate),
                xytext=(-7 if is_right else 7, -3),
                textcoords="offset points",
                ha="right" if is_right else "left",
                color=colour,
            )
        axes.set_ylim(top=flops_per_second * 2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value / 1e9)))
        axes.set_xlabel("FLOPs for each byte moved")
        axes.set_title(
            "GFLOP/s, and the share of what is possible here",
            loc="left",
            fontsize=FONT_POINTS,
            color=PALETTE["muted"],
        )
        return save(figure, path)
