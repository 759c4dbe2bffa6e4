"""Timelines of schedules as a figure: a panel for each, a line for each rank, a box for each action."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from a2_systems.parallel.pipeline.actions import Kind
from a2_systems.parallel.pipeline.simulator import Span, Timeline
from shared.report.plots import FONT_POINTS, PALETTE, STYLE, WIDTH_INCHES, save

RANK_INCHES, HEAD_INCHES = 0.19, 0.42
COLOURS = {
    Kind.FORWARD: PALETTE["series-0"],
    Kind.BACKWARD: PALETTE["series-1"],
    Kind.BACKWARD_INPUT: PALETTE["series-1"],
    Kind.BACKWARD_WEIGHT: PALETTE["series-4"],
}
WORDS = {
    Kind.FORWARD: "forward",
    Kind.BACKWARD_INPUT: "backward (both halves, or that of the inputs)",
    Kind.BACKWARD_WEIGHT: "backward, weights",
}
FURTHER_OPACITY = 0.6  # of a rank's other stages: chunks of a later turn, or the other direction


def draw_timelines(path: Path, timelines: Sequence[Timeline]) -> Path:
    """All on one clock, so that lengths can be compared; saves `path` as .png and .svg and returns the PNG."""
    longest = max(timeline.total for timeline in timelines)
    heights = [HEAD_INCHES + RANK_INCHES * len(timeline.schedule.ranks) for timeline in timelines]
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.6), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(timelines), 1, height_ratios=heights, squeeze=False)[:, 0]
        for axes, timeline in zip(panels, timelines, strict=True):
            draw_timeline(axes, timeline, longest)
        panels[-1].set_xlabel("time, in forward passes of a rank's layers")
        handles = [Rectangle((0, 0), 1, 1, color=COLOURS[kind], label=words) for kind, words in WORDS.items()]
        figure.legend(
            handles=handles,
            loc="outside upper left",
            ncols=3,
            frameon=False,
            handlelength=1.0,
            columnspacing=1.6,
        )
        return save(figure, path)


def draw_timeline(axes: Axes, timeline: Timeline, longest: float) -> None:
    """One schedule: rank 0 on top, waiting left empty."""
    num_ranks = len(timeline.schedule.ranks)
    begin = min(span.start for span in timeline.spans)
    points_per_unit = 72 * 0.86 * WIDTH_INCHES / longest
    for rank in range(num_ranks):
        first = min(timeline.schedule.stages_of(rank))
        for span in timeline.of_rank(rank):
            draw_span(
                axes, span, begin, is_further=span.action.stage != first, points_per_unit=points_per_unit
            )
    axes.set_xlim(0, longest)
    axes.set_ylim(num_ranks - 0.5, -0.5)
    axes.set_yticks(
        range(num_ranks), [f"rank {rank}" for rank in range(num_ranks)], fontsize=FONT_POINTS - 2.5
    )
    axes.set_title(
        f"{timeline.schedule.name}: waiting {100 * timeline.bubble_fraction:.1f} %",
        loc="left",
        fontsize=FONT_POINTS,
        pad=3,
    )
    if axes is not axes.figure.axes[-1]:
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)


def draw_span(axes: Axes, span: Span, begin: float, *, is_further: bool, points_per_unit: float) -> None:
    """One action; its microbatch is written into it where there is room."""
    length = span.end - span.start
    axes.add_patch(
        Rectangle(
            (span.start - begin, span.rank - 0.43),
            length,
            0.86,
            facecolor=COLOURS[span.action.kind],
            alpha=FURTHER_OPACITY if is_further else 1.0,
            edgecolor=PALETTE["paper"],
            linewidth=0.6,
        )
    )
    text = str(span.action.microbatch)
    if length * points_per_unit > 4.2 * len(text):
        axes.text(
            span.start - begin + length / 2,
            span.rank,
            text,
            ha="center",
            va="center_baseline",
            fontsize=FONT_POINTS - 3,
            color=PALETTE["paper"],
        )
